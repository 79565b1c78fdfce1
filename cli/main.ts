import { runCommand } from './runCommand.ts';

// A reader that closes the pipe is no failure.
process.stdout.on('error', () => {});
process.stderr.on('error', () => {});

await runCommand(process.argv.slice(2), { env: process.env });
