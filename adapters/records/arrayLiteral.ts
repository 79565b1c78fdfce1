/**
 * A PostgreSQL array literal of texts, to be cast to an array of the column’s type. Each text is quoted, so that
 * none is read as `NULL`, and quotes and backslashes are escaped; `null` is NULL.
 * Source: PostgreSQL 18, 8.15.6, https://www.postgresql.org/docs/18/arrays.html#ARRAYS-IO
 */
export function arrayLiteral(texts: readonly (string | null)[]): string {
  let literal = '{';
  for (let i = 0; i < texts.length; i++) {
    const text = texts[i]!;
    if (i > 0) literal += ',';
    if (text === null) literal += 'NULL';
    else if (special.test(text)) literal += `"${text.replace(specials, '\\$&')}"`;
    else literal += `"${text}"`;
  }
  return `${literal}}`;
}

const special = /["\\]/;
const specials = /["\\]/g;
