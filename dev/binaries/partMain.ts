import { installPromtool } from './promtool.ts';
import { searchFromEnvironment } from './temporalBinary.ts';
import { installVersitygw } from './versitygw.ts';

/**
 * Installs a program of which tests are skipped where it is absent: `npm run s3-server` the S3-compatible server, `npm run promtool` what
 * checks the alerts.
 */
const install = { versitygw: installVersitygw, promtool: installPromtool }[process.argv[2] ?? ''];
if (!install) throw new Error('Name versitygw or promtool.');
const program = await install({
  cache: searchFromEnvironment(process.env).cache,
  env: process.env,
  signal: new AbortController().signal,
  say: (line) => console.log(line),
});
console.log(program);
