import { join } from 'node:path';
import { type AddCommand, CliError } from '../context.ts';

/** `waybill token --as NAME`: an access token for one of the embedded stack’s people. */
export const addToken: AddCommand = (program, { env }) => {
  program
    .command('token')
    .description('print an access token for one of the invented people (embedded stack only)')
    .requiredOption('--as <name>', 'alice, bob, erin, carol, dave, billing-service or copilot')
    .option('--json', 'print { token, expiresInS }')
    .action(async ({ as, json }: { as: string; json?: boolean }) => {
      const { readDevJson } = await import('../dev/devJson.ts');
      const { obtainToken } = await import('../dev/obtainToken.ts');
      const home = env.WAYBILL_HOME || '.waybill';
      const stack = readDevJson(join(home, 'dev.json'));
      if (!stack) throw new CliError(`No embedded stack is up in ${home}. Start it with npm start.`);
      const token = await obtainToken(stack.issuerUrl, as);
      console.log(json ? JSON.stringify(token) : token.token);
    });
};
