import { fingerprint } from '../test/e2e/forgery/fingerprint.ts';
import { forgeries } from '../test/e2e/forgery/forgeries.ts';
import { openOutsider } from '../test/e2e/forgery/outsider.ts';
import { materialOf, retireKey, runOf } from '../test/e2e/forgery/stackMaterial.ts';
import type { DevStack } from '../test/support/devStack.ts';
import type { Figure } from './figure.ts';

const lanes = 12;

/**
 * Every invalid grant that the tests know, each in a run that is started in Temporal by hand. An effect is a table, or the
 * folder of objects, in which anything has come, gone or changed.
 */
export async function invalidGrants(stack: DevStack): Promise<Figure[]> {
  const outsider = await openOutsider(stack);
  try {
    const retired = await retireKey(outsider.database, stack);
    const victim = await runOf(stack, outsider, 'alice');
    const others = {
      'another run of hers': await runOf(stack, outsider, 'alice'),
      'an agent of hers': await runOf(stack, outsider, 'copilot'),
      'another tenant': await runOf(stack, outsider, 'dave'),
    };
    const matrix = forgeries(await materialOf(stack, victim, retired, others));
    const before = await fingerprint(outsider.database, stack.home);
    let refused = 0;
    const left = [...matrix.entries()];
    await Promise.all(
      Array.from({ length: lanes }, async () => {
        for (let next = left.pop(); next; next = left.pop()) {
          const [i, { code, forge }] = next;
          const id = `readings-invalid-${i}`;
          const wasRefused = (await outsider.start(id, await forge(id))) === code;
          const audited = await outsider.audited(id);
          if (wasRefused && audited.length > 0 && audited.every((one) => one.code === code)) refused++;
        }
      }),
    );
    const after = await fingerprint(outsider.database, stack.home);
    const effects = Object.keys(after).filter((name) => after[name] !== before[name]).length;
    return [
      { name: 'invalid grants tried', value: matrix.length, unit: 'grants' },
      {
        name: '  refused by their code, and audited',
        value: refused,
        unit: 'grants',
        goal: 'all',
        met: refused === matrix.length,
      },
      { name: '  effects', value: effects, unit: 'effects', goal: '0', met: effects === 0 },
    ];
  } finally {
    await outsider.close();
  }
}
