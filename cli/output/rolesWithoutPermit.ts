import { styleText } from 'node:util';
import type { PowerlessRole } from '../../domain/policies/rolesWithoutPermit.ts';
import { plain } from './plain.ts';

/** Warnings of approvals that ask people whom the policy would refuse. */
export function powerlessLines(powerless: readonly PowerlessRole[]): string[] {
  return powerless.map(
    ({ pipeline, role }) =>
      `${styleText('yellow', '!')} ${pipeline} asks "${plain(role)}" to decide, whom no policy lets approve its runs.`,
  );
}
