import type { z } from 'zod';
import { connectors } from '../connectors/index.ts';
import type { OnMiss } from '../domain/pipelines/enrich.ts';
import {
  createPipeline,
  type DeclaredOutputs,
  type Definition,
  type NoParameters,
  type Pipeline,
  type SchemasOf,
} from '../domain/pipelines/pipeline.ts';
import type { Source } from '../domain/sources/source.ts';

/**
 * Declares a pipeline; a project’s `pipelines/*.ts` export what it returns by default. Types flow from `input` to
 * the transform’s record, from `parameters` to its context, and from `output` to what it must return and to the
 * columns that `sink` may use as a key. Everything is checked again when the project loads.
 *
 * Throws `DefinitionError`; its issues say what to write instead.
 */
export function definePipeline<
  I extends z.ZodObject,
  S extends Source,
  K extends string = never,
  O extends z.ZodObject = I,
  P extends z.ZodObject = NoParameters,
  V extends z.ZodType = never,
  M extends OnMiss = 'reject',
  R extends DeclaredOutputs = never,
>(definition: Definition<I, O, P, S, K, V, M, R>): Pipeline<I, O, P, SchemasOf<NoInfer<R>>> {
  return createPipeline<I, O, P, SchemasOf<NoInfer<R>>>(definition, connectors);
}
