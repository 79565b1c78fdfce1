import { defaultLimits, type Manifest, type SinkManifest } from '../../domain/pipelines/manifest.ts';

/** A row of `people`. */
export type PeopleRow = [id: number, name: string | null];

export const people: SinkManifest = {
  kind: 'postgres',
  table: 'people',
  key: ['id'],
  columns: [
    { name: 'id', type: 'integer', nullable: false },
    { name: 'name', type: 'text', nullable: true },
  ],
};

/** A pipeline with one column. */
export const things: Manifest = {
  id: 'things',
  version: 1,
  labels: {},
  source: { kind: 'inline' },
  sink: {
    kind: 'postgres',
    table: 'things',
    key: ['id'],
    columns: [{ name: 'id', type: 'integer', nullable: false }],
  },
  limits: defaultLimits,
  deadlineMs: 1000,
};
