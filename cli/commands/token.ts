import { embeddedIdentity } from '../connect.ts';
import type { AddCommand } from '../context.ts';
import { obtainToken } from '../dev/obtainToken.ts';

/** `waybill token --as NAME`: an access token for one of the embedded stack’s people. */
export const addToken: AddCommand = (program, context) => {
  program
    .command('token')
    .description('print an access token for one of the invented people (embedded stack only)')
    .requiredOption('--as <name>', 'alice, bob, erin, carol, dave, billing-service or copilot')
    .option('--json', 'print { token, expiresInS }')
    .action(async ({ as, json }: { as: string; json?: boolean }) => {
      const token = await obtainToken(embeddedIdentity(context, as).issuerUrl, as);
      console.log(json ? JSON.stringify(token) : token.token);
    });
};
