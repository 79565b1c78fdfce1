#!/usr/bin/env node
// Plain JavaScript that every Node understands: it finds a Node that can run the rest, or says what is missing.
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const main = fileURLToPath(new URL('./main.ts', import.meta.url));
const flags = ['--disable-warning=ExperimentalWarning'];
const [major, minor] = process.versions.node.split('.').map(Number);

if (major > 22 || (major === 22 && minor >= 18)) {
  // Older ones warn that running TypeScript is experimental.
  if (major < 24) process.removeAllListeners('warning');
  await import(main);
} else {
  const shipped = fileURLToPath(new URL('../node_modules/node/bin/node', import.meta.url));
  if (existsSync(shipped)) runWith(shipped);
  else {
    console.error(
      `Waybill needs Node 22.18 or later; this is ${process.versions.node}. Install a newer one, or run npm ci.`,
    );
    process.exit(2);
  }
}

/** @param {string} node */
function runWith(node) {
  const child = spawn(node, [...flags, main, ...process.argv.slice(2)], {
    stdio: ['inherit', 'inherit', 'inherit', 'ipc'],
  });
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
    // From the terminal, Ctrl-C reaches the child by itself.
    process.on(signal, () => signal !== 'SIGINT' && child.kill(signal));
  }
  child.once('exit', (code, signal) => process.exit(code ?? (signal ? 1 : 0)));
}
