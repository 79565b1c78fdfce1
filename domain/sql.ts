/**
 * A statement of PostgreSQL with named parameters. Shared by the adapter and the sink, which may not import each other: `:name` in the text, its value in `params`. One name may stand several
 * times and is one parameter. With `prepared`, PostgreSQL keeps the statement by that name in each connection.
 *
 * A parameter without a value, and a value without a parameter, are mistakes of ours and throw.
 *
 * @example client.query(sql('SELECT :a::integer + :b::integer', { a: 1, b: 2 }, 'add'))
 */
export function sql(text: string, params: Params = {}, prepared?: string): Statement {
  const { positional, names } = compile(text);
  const unused = Object.keys(params).filter((name) => !names.includes(name));
  if (unused.length > 0) throw new Error(`no parameter ${unused.join(', ')} in: ${text}`);
  const values = names.map((name) => {
    const value = params[name];
    if (value === undefined) throw new Error(`parameter ${name} has no value in: ${text}`);
    return value;
  });
  return { ...(prepared !== undefined && { name: prepared }), text: positional, values };
}

/** As the driver takes it (`QueryConfig` of `pg`). */
export interface Statement {
  name?: string;
  text: string;
  values: unknown[];
}

export type Params = Readonly<Record<string, unknown>>;

/** JSON for a `json` or `jsonb` parameter; `null` stays NULL. */
export function jsonParam(value: unknown): string | null {
  return value === null || value === undefined ? null : JSON.stringify(value);
}

interface Compiled {
  positional: string;
  names: readonly string[];
}

/** The texts of the program are few, and most are constants. */
const compiledMax = 1_000;
const compiledTexts = new Map<string, Compiled>();

/** What may hold a colon that begins no parameter comes first: texts, names, comments, casts. */
const tokens = /'(?:[^']|'')*'|"(?:[^"]|"")*"|--[^\n]*|::|:([a-zA-Z_]\w*)/g;

function compile(text: string): Compiled {
  const known = compiledTexts.get(text);
  if (known) return known;
  const names: string[] = [];
  const positional = text.replace(tokens, (token, name: string | undefined) => {
    if (name === undefined) return token;
    if (!names.includes(name)) names.push(name);
    return `$${names.indexOf(name) + 1}`;
  });
  const compiled = { positional, names };
  if (compiledTexts.size >= compiledMax) compiledTexts.delete(compiledTexts.keys().next().value!);
  compiledTexts.set(text, compiled);
  return compiled;
}
