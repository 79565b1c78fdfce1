import { connectorsOf } from '../domain/connectors/connectors.ts';
import { csvFormat } from './formats/csv/index.ts';
import { jsonFormat } from './formats/json/index.ts';
import { ndjsonFormat } from './formats/ndjson/index.ts';
import { parquetFormat } from './formats/parquet/index.ts';
import { objectFilesSink } from './sinks/objectFiles/index.ts';
import { postgresSink } from './sinks/postgres/index.ts';
import { fileSource } from './sources/file/index.ts';
import { httpSource } from './sources/http/index.ts';
import { inlineSource } from './sources/inline/index.ts';
import { objectStoreSource } from './sources/objectStore/index.ts';
import { uploadSource } from './sources/upload/index.ts';

/** The one list of kinds. What depends on the kinds that there are reads it: definitions, policies, the API, the engine. */
export const connectors = connectorsOf({
  sources: [uploadSource, inlineSource, fileSource, httpSource, objectStoreSource],
  formats: [ndjsonFormat, csvFormat, jsonFormat, parquetFormat],
  sinks: [postgresSink, objectFilesSink],
});
