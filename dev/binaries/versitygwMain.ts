import { searchFromEnvironment } from './temporalBinary.ts';
import { installVersitygw } from './versitygw.ts';

/** `npm run s3-server`: installs the S3-compatible server of the tests, which pass over it where it is absent. */
const program = await installVersitygw({
  cache: searchFromEnvironment(process.env).cache,
  env: process.env,
  signal: new AbortController().signal,
  say: (line) => console.log(line),
});
console.log(program);
