import { csv } from '../../connectors/formats/csv/index.ts';
import { ndjson } from '../../connectors/formats/ndjson/index.ts';
import { formatConformance } from '../conformance/formats.ts';

formatConformance({
  manifest: ndjson(),
  encode: (records) => Buffer.from(records.map((record) => `${JSON.stringify(record)}\n`).join('')),
  unterminated: { bytes: Buffer.from('{"id":"a"}\n{"id":"b'), code: 'MalformedJson' },
});

formatConformance({
  manifest: csv(),
  encode: (records) => Buffer.from(`id,note\n${records.map(({ id, note }) => `${id},"${note}"\n`).join('')}`),
  unterminated: { bytes: Buffer.from('id,note\na,x\nb,"y'), code: 'UnterminatedQuote' },
});
