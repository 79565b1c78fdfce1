import { sinkConformance } from '../conformance/sinks.ts';

const columns = [
  { name: 'id', type: 'integer' as const, nullable: false },
  { name: 'note', type: 'text' as const, nullable: true },
];

sinkConformance(
  'postgres with a key',
  { kind: 'postgres', table: 'keyed', key: ['id'], columns },
  { keyed: true },
);
sinkConformance(
  'postgres with the digest as key',
  { kind: 'postgres', table: 'digested', key: 'row-digest', columns },
  { keyed: false },
);
