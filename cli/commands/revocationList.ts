import { type Command, Option } from 'commander';
import { revocationKinds } from '../../domain/revocation.ts';
import type { Revocation, RevocationFilter } from '../../sdk/client.ts';
import { connect, type GlobalOptions } from '../connect.ts';
import type { AddCommand } from '../context.ts';
import { pageLines } from '../output/pageLines.ts';
import { plain } from '../output/plain.ts';
import { printResult } from '../output/print.ts';
import { since } from '../output/quantities.ts';
import { table } from '../output/table.ts';
import { namesOf } from '../output/whoText.ts';
import { paged } from '../paged.ts';

/** `waybill revocations` */
export const addRevocationList: AddCommand = (program, context) => {
  const list = program
    .command('revocations')
    .description('what is revoked, newest first')
    .addOption(new Option('--kind <kind>', 'only of one kind').choices(revocationKinds))
    .option('--id <id>', 'only of one: prn_…, the id of a run, a kid');
  paged(list).action(async (filter: RevocationFilter, command: Command) => {
    const options = command.optsWithGlobals<GlobalOptions>();
    const page = await connect(context, options).listRevocations(filter);
    printResult(options.json, page, () => pageLines(page, revocationLines, 'Nothing is revoked.'));
  });
};

function revocationLines(revocations: readonly Revocation[], now: number): string[] {
  const { name, lines } = namesOf(revocations.flatMap(({ who }) => [who.target, who.revokedBy]));
  const revoked = table<Revocation>(
    [
      { title: 'REVOCATION', cell: ({ id }) => id },
      { title: 'KIND', cell: ({ kind }) => kind },
      { title: 'OF', cell: ({ target, who }) => name(who.target, target) },
      {
        title: 'BY',
        cell: ({ revokedBy, who }) => (revokedBy ? name(who.revokedBy, revokedBy.id) : 'a sign-out'),
      },
      { title: 'SINCE', align: 'right', cell: ({ createdAt }) => since(createdAt, now) },
      { title: 'REASON', cell: ({ reason }) => plain(reason ?? '') },
    ],
    revocations,
  );
  return [...revoked, ...lines];
}
