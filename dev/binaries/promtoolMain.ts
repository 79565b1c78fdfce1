import { installPromtool } from './promtool.ts';
import { searchFromEnvironment } from './temporalBinary.ts';

/** `npm run promtool`: installs what the tests of the alerts need, which are skipped where it is absent. */
const program = await installPromtool({
  cache: searchFromEnvironment(process.env).cache,
  signal: new AbortController().signal,
  say: (line) => console.log(line),
});
console.log(program);
