import { runWaybill } from './waybillProcess.ts';

/** Runs commands for `startCommandServer`, one after the other, until its parent disconnects. */
process.on('message', async ({ args, env }: { args: string[]; env: Record<string, string> }) => {
  process.send!(await runWaybill(args, env));
});
