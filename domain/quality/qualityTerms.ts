/**
 * What an author writes under `quality`: rules about the rows of a run, and what a breach of one leads to.
 *
 * `hold`: the run waits at its approval gate before `publish`, also where `when` says that it need not wait. `fail`: the run fails as
 * `QualityBreached` and stores nothing. `warn`: the run stores its rows, and its result says what was breached.
 */
export interface QualityTerms<Row> {
  /** Which share of the records may be rejected. Default: any. */
  maxRejected?: Share;
  /** Default: none. At most 32. */
  rules?: readonly QualityRule<Row>[];
  onBreach: OnBreach;
}

export type QualityRule<Row> = { name?: string } & (
  | Complete<Row>
  | Unique<Row>
  | Range<Row>
  | InSet<Row>
  | Fresh<Row>
  | RowCount
  | Custom
);

export const onBreaches = ['hold', 'fail', 'warn'] as const;
export type OnBreach = (typeof onBreaches)[number];

/** A percentage with at most four digits after the point, such as `'1%'` or `'0.05%'`. */
type Share = `${number}%`;

/** The names of the columns of a row. */
type ColumnOf<Row> = Extract<keyof Row, string>;

interface Complete<Row> {
  kind: 'complete';
  column: ColumnOf<Row>;
  /** Which share of the rows has a value. Default `'100%'`. */
  min?: Share;
}

interface Unique<Row> {
  kind: 'unique';
  /** Together they differ from row to row of a run. Rows without a value in one of them do not count. */
  columns: readonly ColumnOf<Row>[];
  /** Which share of the rows may repeat another. Default `'0%'`. */
  maxDuplicates?: Share;
}

interface Range<Row> {
  kind: 'range';
  /** Of numbers or of dates without a time. Rows without a value do not count. */
  column: ColumnOf<Row>;
  /** Inclusive, as is `max`; one of the two may be missing. Text for dates and decimals. */
  min?: number | bigint | string;
  max?: number | bigint | string;
  /** Which share of the rows may be outside. Default `'0%'`. */
  maxOutside?: Share;
}

interface InSet<Row> {
  kind: 'set';
  /** Rows without a value do not count. */
  column: ColumnOf<Row>;
  /** At most 1,000. */
  values: readonly (string | number | bigint | boolean)[];
  /** Which share of the rows may have another value. Default `'0%'`. */
  maxOutside?: Share;
}

interface Fresh<Row> {
  kind: 'fresh';
  /** Of times or dates. */
  column: ColumnOf<Row>;
  /** How long before the acceptance of the run the newest row may lie: a number and `s`, `m`, `h`, `d` or `w`. */
  within: string;
}

interface RowCount {
  kind: 'rows';
  min?: number;
  max?: number;
  /** How far the rows may be from the median of the last completed runs of this version. The first run has none to compare with. */
  change?: Share;
  /** How many runs are compared, 1 to 30. Default 5. */
  runs?: number;
}

interface Custom {
  kind: 'custom';
  name: string;
  /** Pure, over counts. Anything but `true` is a breach. */
  check: (counts: QualityCounts) => boolean;
}

/** The counts of a run before its rows are stored. */
export interface QualityCounts {
  readonly read: number;
  readonly passed: number;
  readonly filtered: number;
  readonly rejected: number;
  readonly emitted: number;
}
