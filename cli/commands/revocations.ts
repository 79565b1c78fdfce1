import { Argument, type Command, Option } from 'commander';
import { principalId } from '../../domain/principal.ts';
import { type RevocationKind, revocationKinds } from '../../domain/revocation.ts';
import type { Revocation, RevocationFilter } from '../../sdk/client.ts';
import { readClientSettings } from '../cliSettings.ts';
import { asOption, connect, type GlobalOptions, runningStack } from '../connect.ts';
import { type AddCommand, type CliContext, CliError } from '../context.ts';
import { people } from '../embedded/people.ts';
import { paged } from '../options.ts';
import { since } from '../output/quantities.ts';
import { pageLines, table } from '../output/table.ts';
import { plain, printResult } from '../output/terminal.ts';
import { namesOf } from '../output/whoText.ts';

/** `waybill revoke KIND ID` and `waybill restore KIND ID` */
export const addRevocations: AddCommand = (program, context) => {
  byKind(program, 'revoke', 'revoke a right: within 10 s no task and no request continues under it')
    .option('--reason <text>', 'the reason, which the list and the audit show')
    .option('--force', 'also revoke your own right')
    .action(async (kind: RevocationKind, id: string, given: Given, command: Command) => {
      const options = command.optsWithGlobals<GlobalOptions>();
      const { reason, force = false } = given;
      const target = targetOf(context, kind, id);
      const made = await connect(context, options).revoke(kind, target, {
        force,
        ...(reason !== undefined && { reason }),
      });
      printResult(options.json, made, () => [
        `Revoked ${nameOf(made, id)} ${made.tenant === null ? 'for all tenants' : `in tenant ${plain(made.tenant)} alone`}: ${made.id}.`,
        ...(made.notice === null ? [] : [plain(made.notice)]),
        `Its runs are suspended at their next step. npx waybill restore ${kind} ${plain(id)}${asOption(options)} restores the right.`,
      ]);
    });

  byKind(program, 'restore', 'restore a right; runs that were suspended for it continue').action(
    async (kind: RevocationKind, id: string, _, command: Command) => {
      const options = command.optsWithGlobals<GlobalOptions>();
      const client = connect(context, options);
      const { items } = await client.listRevocations({ kind, id: targetOf(context, kind, id) });
      if (items.length === 0) throw new CliError(`No ${kind} ${id} is revoked.`);
      const lifted = await Promise.all(items.map((revocation) => client.restore(revocation.id)));
      printResult(options.json, lifted, () => lifted.map((one) => `Restored ${nameOf(one, id)}: ${one.id}.`));
    },
  );
};

interface Given {
  reason?: string;
  force?: true;
}

function byKind(program: Command, name: string, description: string): Command {
  return program
    .command(name)
    .description(description)
    .addArgument(new Argument('<kind>', 'the kind of right').choices(revocationKinds))
    .argument(
      '<id>',
      'prn_… or a name of the embedded stack; of a grant the id of its run; of a key its kid; dlg_…',
    );
}

/** In the embedded stack people have names, from which their ids follow as the API makes them. */
function targetOf(context: CliContext, kind: RevocationKind, id: string): string {
  if (kind !== 'principal' || !Object.hasOwn(people, id)) return id;
  const { issuerUrl } = runningStack(readClientSettings(context).WAYBILL_HOME);
  const { subject, act } = people[id]!;
  return principalId(issuerUrl, act?.sub ?? subject);
}

function nameOf({ kind, target }: Revocation, id: string): string {
  return id === target ? `${kind} ${plain(target)}` : `${kind} ${plain(id)} (${target})`;
}

/** `waybill revocations` */
export const addRevocationList: AddCommand = (program, context) => {
  const list = program
    .command('revocations')
    .description('list revocations, newest first')
    .addOption(new Option('--kind <kind>', 'only revocations of this kind').choices(revocationKinds))
    .option('--id <id>', 'only revocations of this prn_…, run id, kid or dlg_…');
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
