import type { z } from 'zod';
import type { ApprovalCode, ApprovalTerms } from '../approvals/approvalTerms.ts';
import type { Connectors } from '../connectors/connectors.ts';
import type { QualityCode } from '../quality/quality.ts';
import type { QualityTerms } from '../quality/qualityTerms.ts';
import type { RunPriority } from '../runs/runPriority.ts';
import type { DeclaredSchedule } from '../schedules/declaredSchedule.ts';
import type { SentKind, Source } from '../sources/source.ts';
import { describePipeline } from './describePipeline.ts';
import type { Enrich, EnrichCode, OnMiss } from './enrich.ts';
import type { Limits, Manifest } from './manifest.ts';
import type { Reject, reject, Skip, skip } from './outcome.ts';
import type { Retention } from './retention.ts';
import type { UnknownFields } from './unknownFields.ts';
import type { Upgrade } from './upgrade.ts';

/** What `definePipeline` of the SDK does, for the connectors that there are. Throws `DefinitionError`. */
export function createPipeline<
  I extends z.ZodObject,
  O extends z.ZodObject,
  P extends z.ZodObject,
  R extends OutputSchemas | undefined,
>(definition: object, connectors: Connectors): Pipeline<I, O, P, R> {
  const { manifest, parameters, input, output, outputs, enrich, transform, upgrade, approval, quality } =
    describePipeline(definition, connectors);
  return Object.freeze({
    [pipelineMark]: true as const,
    manifest,
    parameters: parameters as P,
    input: input as I,
    output: output as O,
    enrich,
    outputs: outputs as Pipeline<I, O, P, R>['outputs'],
    transform: transform as Pipeline<I, O, P>['transform'],
    upgrade,
    approval,
    quality,
  });
}

/** What an author writes. */
export type Definition<
  I extends z.ZodObject,
  O extends z.ZodObject,
  P extends z.ZodObject,
  S extends Source,
  K extends string,
  V extends z.ZodType = never,
  M extends OnMiss = 'reject',
  R extends DeclaredOutputs = never,
> = {
  /** Names the pipeline in URLs, run ids and audit: `a-z`, digits and `-`, at most 63 characters. */
  id: string;
  /** Default 1. Raise it when the meaning of the rows changes. */
  version?: number;
  /** What policies decide by, such as `{ classification: 'internal' }`. */
  labels?: Record<string, string>;
  /** What a caller may choose for one run; a strict object schema. */
  parameters?: P;
  source: S & CursorFits<S, z.output<I>>;
  /** Strict object schema of one record. A record that does not fit becomes a dead letter. */
  input: I;
  /**
   * What becomes of fields that a strict object of the input does not name, at any depth. `'reject'`: the record becomes a dead letter
   * (`UnknownField`). `'keep'`: they go, as they are, to the `jsonb` column `_extra` of each row of the record. `'drop'`: they are left out
   * and counted. Default `'reject'`.
   */
  unknownFields?: UnknownFields;
  /** Looks values up in another system, between validation and transform. Needs a transform. */
  enrich?: Enrich<z.output<I>, V, M>;
  /** The gate at which runs wait for approval. Without it they do not wait. */
  approval?: ApprovalTerms<z.output<P>>;
  /** Rules about the rows of a run, and what follows when one is breached. Default: none. */
  quality?: QualityTerms<NoInfer<z.output<O>>>;
  /** Bounds of one run; see `Limits`. Defaults are `defaultLimits`. */
  limits?: Partial<Limits>;
  /** Whether a run completes although every one of its records was rejected. Default `false`: it fails as `AllRejected`. */
  allowAllRejected?: boolean;
  /**
   * Adds a column `_source` with the file, URL or object that each row was read of. Only for sources that Waybill itself reads.
   * Default `false`.
   */
  rowSource?: boolean;
  /** How long a run may take from its acceptance: a number and `s`, `m`, `h`, `d` or `w`. Default `'7d'`. */
  deadline?: string;
  /**
   * Which runs come first where work waits for workers: those of every `interactive` pipeline before those of every `normal` one, and
   * `backfill` last. Default `'normal'`; backfills of a schedule are `'backfill'`.
   */
  priority?: RunPriority;
  /**
   * How long each part of a run is kept after its end: `'forever'` or a duration such as `'30d'`. What it leaves out is as the project says,
   * else `defaultRetention`. `waybill apply` puts it in force, also for runs that have ended.
   */
  retention?: { [Part in keyof Retention]?: string };
  /**
   * Brings a rejected record of an older version to the next one, by that version: `{ 1: (record) => ({ ...record, unit: 'kg' }) }`.
   * Pure. The record is as its format reads it, before the input schema; what comes out is validated as any record.
   */
  upgrade?: Upgrade;
  /** When it runs by itself, one or several; only for sources that Waybill itself reads. `waybill apply` puts it in force. */
  schedule?: S extends { kind: SentKind }
    ? 'An upload cannot be scheduled: no caller sends its data then.'
    : DeclaredSchedule<z.input<P>> | readonly DeclaredSchedule<z.input<P>>[];
} & (
  | {
      /** Strict object schema of one row. It gives the table its columns. */
      output: O;
      sink: Sink<K> & KeyFits<K, z.output<O>>;
      transform: DeclaredTransform<z.output<I>, O, R, z.output<P>, Enriched<V, M>>;
      outputs?: undefined;
    }
  /** Without a transform the rows are the records. */
  | {
      sink: Sink<K> & KeyFits<K, z.output<O>>;
      output?: undefined;
      transform?: undefined;
      outputs?: undefined;
    }
  | {
      /**
       * Several outputs by name, each with the strict object schema of its rows and its sink:
       * `{ orders: { row: OrderRow, sink: postgres(…) }, lines: { row: LineRow, sink: postgres(…) } }`. What a record gives is stored
       * in all of them in one transaction, or in none.
       */
      outputs: R & OutputsFit<R>;
      transform: DeclaredTransform<z.output<I>, O, R, z.output<P>, Enriched<V, M>>;
      output?: undefined;
      sink?: undefined;
    }
);

/**
 * Makes rows of a record: synchronous and pure, for it may run again on the same record, in any thread.
 * One object is one row; an array is any number of rows, none of them meaning `filtered`; `skip(code)` filters and
 * `reject(code)` refuses the record. Anything else, `null` and `undefined` above all, is refused as
 * `OutputMismatch`, so that a forgotten `return` loses nothing. What it throws fails the run (`TransformFailed`).
 * An engine does not call it directly but through `applyTransform`.
 */
export type Transform<Record_, Row, Parameters, Found = undefined> = (
  record: Record_,
  context: TransformContext<Parameters, Found>,
) => Row | readonly Row[] | Skip | Reject;

/**
 * The same of a definition. With several outputs it returns an object that names each of them, with one row or any number of rows, `[]`
 * for none. A record with a row that does not fit is rejected as a whole. One type for both, since errors in a union say little.
 */
type DeclaredTransform<Record_, O extends z.ZodObject, R extends DeclaredOutputs, Parameters, Found> = (
  record: Record_,
  context: TransformContext<Parameters, Found>,
) =>
  | ([R] extends [never] ? RowsOf<O> : NoInfer<{ readonly [N in keyof R]: RowsOf<R[N]['row']> }>)
  | Skip
  | Reject;

type RowsOf<O extends z.ZodObject> = z.input<O> | readonly z.input<O>[];

/** One of several outputs, as an author writes it. */
interface DeclaredOutput {
  row: z.ZodObject;
  /** A `Sink`; what it says of its key must not widen that of the one that is given. */
  sink: Pick<Sink, 'kind'>;
}

export type DeclaredOutputs = Readonly<Record<string, DeclaredOutput>>;

/** The schemas of the rows of several outputs. */
export type OutputSchemas = Readonly<Record<string, z.ZodObject>>;

export type SchemasOf<R extends DeclaredOutputs> = [R] extends [never]
  ? undefined
  : { readonly [N in keyof R]: R[N]['row'] };

export interface TransformContext<Parameters, Found = undefined> {
  readonly parameters: Parameters;
  /** What `enrich` looked up for the record. */
  readonly enriched: Found;
  readonly skip: typeof skip;
  readonly reject: typeof reject;
}

/** `undefined` where the pipeline does not enrich. */
type Enriched<V extends z.ZodType, M extends OnMiss> = [V] extends [never]
  ? undefined
  : M extends 'null'
    ? z.output<V> | null
    : z.output<V>;

/**
 * A loaded definition. Only `manifest` is serialisable and leaves the process; schemas and transform stay with the
 * module, which every process and thread loads for itself.
 */
export interface Pipeline<
  I extends z.ZodObject = z.ZodObject,
  O extends z.ZodObject = z.ZodObject,
  P extends z.ZodObject = z.ZodObject,
  R extends OutputSchemas | undefined = undefined,
> {
  readonly [pipelineMark]: true;
  readonly manifest: Manifest;
  /**
   * Parses what the caller sent into what the transform gets. Runs keep what was *sent*, as JSON, and every engine
   * parses it again: defaults and coercions belong to the definition, and the run is bound to its digest.
   */
  readonly parameters: P;
  readonly input: I;
  /** Equal to `input` where there is no transform. Of several outputs: an object with a list of rows for each. */
  readonly output: O;
  /** The schema of a row of each output, where there are several. */
  readonly outputs: R;
  readonly enrich: EnrichCode | undefined;
  // biome-ignore lint/suspicious/noExplicitAny: the code that looked the value up is beside it
  readonly transform: Transform<z.output<I>, z.input<O>, z.output<P>, any> | undefined;
  /** For rejected records of older versions. */
  readonly upgrade: Upgrade | undefined;
  /** Code and schema of its gate; empty where there is none. */
  readonly approval: ApprovalCode;
  /** The checks of its custom quality rules. */
  readonly quality: QualityCode;
}

/** Survives two copies of the package in one process. */
const pipelineMark: unique symbol = Symbol.for('waybill.pipeline') as never;

export function isPipeline(value: unknown): value is AnyPipeline {
  return typeof value === 'object' && value !== null && pipelineMark in value;
}

/** A pipeline of which nothing is known at compile time. */
export type AnyPipeline = Omit<Pipeline, 'transform' | 'outputs'> & {
  readonly outputs: OutputSchemas | undefined;
  // biome-ignore lint/suspicious/noExplicitAny: the caller has parsed the record with the schema beside it
  readonly transform: Transform<any, any, any, any> | undefined;
};

/** What a builder of a sink returns. `connectors/sinks/` has the kinds. */
export interface Sink<K extends string = string> {
  kind: string;
  /** Only the compiler sees it: the columns that the key names. */
  readonly keyColumns?: readonly K[];
}

/** Says, in the compiler’s own message, which column of a key the output lacks. */
type KeyFits<K extends string, Row> = [Exclude<K, keyof Row>] extends [never]
  ? unknown
  : `The key names “${Exclude<K, keyof Row>}”, which is not a field of the output.`;

type OutputsFit<R extends DeclaredOutputs> = {
  readonly [N in keyof R]: R[N]['sink'] extends Sink<infer K>
    ? { readonly sink: KeyFits<K, z.output<R[N]['row']>> }
    : unknown;
};

/** The same of the field by which a source tells what is new. */
type CursorFits<S, Row> = S extends { cursor?: { field: infer Field extends string } | undefined }
  ? [Exclude<Field, keyof Row>] extends [never]
    ? unknown
    : string extends Field
      ? unknown
      : `The cursor names “${Exclude<Field, keyof Row>}”, which is not a field of the input.`
  : unknown;

export type NoParameters = z.ZodObject<Record<never, never>, z.core.$strict>;
