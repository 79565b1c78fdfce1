import { sinkConformance } from '../conformance/sinks.ts';

const columns = [
  { name: 'id', type: 'integer' as const, nullable: false },
  { name: 'note', type: 'text' as const, nullable: true },
];
const kind = 'postgres';

sinkConformance(
  'postgres with a key',
  { kind, table: 'keyed', key: ['id'], columns },
  { keeps: 'last of key' },
);
sinkConformance(
  'postgres with a key, partitioned by hash',
  { kind, table: 'split', key: ['id'], partitionBy: { hash: 'id', partitions: 3 }, columns },
  { keeps: 'last of key' },
);
sinkConformance(
  'postgres with the digest as key',
  { kind, table: 'digested', key: 'row-digest', columns },
  { keeps: 'one of equal' },
);
sinkConformance(
  'postgres, appending',
  { kind, table: 'appended', mode: 'append', columns },
  { keeps: 'all' },
);
