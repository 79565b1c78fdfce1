import { z } from 'zod';
import { DefinitionError } from '../pipelines/definitionError.ts';
import type { Manifest, SourceManifest } from '../pipelines/manifest.ts';
import { parametersAt, ScheduleTerms } from './schedule.ts';

/**
 * What an author writes under `schedule`: when the pipeline runs by itself. `waybill apply` makes it a schedule in the name of
 * the caller that applies it, and none runs before that.
 */
export type DeclaredSchedule<Parameters> = Omit<z.input<typeof ScheduleTerms>, 'parameters'> & {
  /** Where there are several. The schedule is called `<pipeline>-<name>`, without a name as the pipeline. */
  name?: string;
  /** Of each of its runs. */
  parameters?: Parameters;
  /** For readers of the schedule. */
  note?: string;
};

const Written = ScheduleTerms.safeExtend({
  name: z
    .string()
    .regex(/^[a-z0-9][a-z0-9-]{0,35}$/, 'must be up to 36 of a-z, 0-9 and -')
    .optional(),
  note: z
    .string()
    .regex(/^[^\p{Cc}\p{Cs}]{1,500}$/u, 'must be up to 500 characters, none of them for control')
    .optional(),
});

const schedulesMax = 16;

/** As the manifest has them. Throws `DefinitionError`. */
export function describeSchedules(
  written: unknown,
  pipeline: {
    id: string;
    source: SourceManifest;
    /** The option that names what is read; `undefined` where callers send the data. */
    reference: 'path' | 'url' | undefined;
    parameters: z.ZodType;
  },
): NonNullable<Manifest['schedules']> {
  const list = Array.isArray(written) ? written : [written];
  if (list.length === 0 || list.length > schedulesMax)
    wrong('', `must be one, or a list of up to ${schedulesMax}`);
  const at = (i: number, path: string) =>
    [...(Array.isArray(written) ? [i] : []), path].filter((p) => p !== '').join('.');
  const described = list.map((one, i) => {
    const { name, note, ...terms } = parsed(one, (path) => at(i, path));
    checkSource(pipeline, terms, (path) => at(i, path));
    checkParameters(pipeline.parameters, terms, (path) => at(i, path));
    const id = name === undefined ? pipeline.id : `${pipeline.id}-${name}`;
    return { id, terms, ...(note !== undefined && { note }) };
  });
  const twice = described.findIndex(({ id }, i) => described.findIndex((other) => other.id === id) < i);
  if (twice >= 0) wrong(at(twice, 'name'), 'is that of another: each of several has a name of its own');
  return described;
}

type At = (path: string) => string;

function parsed(one: unknown, at: At): z.output<typeof Written> {
  const { success, data, error } = Written.safeParse(one);
  if (success) return data;
  throw new DefinitionError(
    'schedule',
    error.issues.map(({ path, message }) => ({ path: at(path.join('.')), message })),
  );
}

/** When a schedule fires, no caller is there to name what is read. */
function checkSource(
  { source, reference }: { source: SourceManifest; reference: 'path' | 'url' | undefined },
  { source: given }: ScheduleTerms,
  at: At,
): void {
  if (!reference)
    wrong(at(''), 'needs a source that Waybill reads itself. No caller sends data when a schedule fires');
  if (given && !(reference in given)) wrong(at('source'), `must name a ${reference}`);
  if (!given && source[reference] === undefined)
    wrong(at('source'), `must name a ${reference}, for the pipeline names none`);
}

function checkParameters(parameters: z.ZodType, terms: ScheduleTerms, at: At): void {
  const { success, error } = parameters.safeParse(parametersAt(terms, '2026-01-01T00:00:00Z'));
  if (success) return;
  const [issue] = error.issues;
  wrong(at(['parameters', ...issue!.path].join('.')), issue!.message);
}

function wrong(path: string, message: string): never {
  throw new DefinitionError('schedule', [{ path, message }]);
}
