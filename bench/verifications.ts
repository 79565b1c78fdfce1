import { createGrantVerifier } from '../adapters/keys/grantVerifier.ts';
import { knownKeys } from '../adapters/keys/knownKeys.ts';
import { signGrant } from '../adapters/keys/signGrant.ts';
import { grantOfRun, makeKey } from '../test/support/keys.ts';
import type { Figure } from './figure.ts';

const forMs = 2_000;

/** How many grants of runs one process verifies one after the other, and how many while 64 are under way. */
export async function verifications(): Promise<Figure[]> {
  const { kid, jwk, privateKey } = await makeKey();
  const grant = await signGrant(grantOfRun, { kid, key: privateKey });
  const keys = knownKeys({ keys: [jwk] });
  // A verifier remembers what it has verified.
  const verify = () => createGrantVerifier({ keys, issuer: grantOfRun.iss }).verify(grant);
  const perSecond = async (together: number) => {
    const start = performance.now();
    let verified = 0;
    while (performance.now() - start < forMs) {
      await Promise.all(Array.from({ length: together }, verify));
      verified += together;
    }
    return (verified / (performance.now() - start)) * 1000;
  };
  return [
    { name: 'one after the other', value: await perSecond(1), unit: 'verifications/s' },
    { name: '64 at a time', value: await perSecond(64), unit: 'verifications/s' },
  ];
}
