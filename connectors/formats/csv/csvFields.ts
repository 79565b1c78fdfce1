/**
 * Fields of one CSV record (RFC 4180), its line ending not included, or `undefined` where a quote or a carriage return
 * stands in an unquoted field or something other than a delimiter follows a closing quote.
 */
export function readFields(
  record: string,
  delimiter: string,
  quote: string | false = '"',
): string[] | undefined {
  if (quote === false || !record.includes(quote))
    return record.includes('\r') ? undefined : record.split(delimiter);
  const fields: string[] = [];
  for (let at = 0; ; at++) {
    if (record[at] === quote) {
      const closes = closingQuote(record, quote, at + 1);
      if (closes < 0) return undefined;
      const inside = record.slice(at + 1, closes);
      fields.push(inside.includes(quote) ? inside.replaceAll(quote + quote, () => quote) : inside);
      at = closes + 1;
      if (at === record.length) return fields;
      if (record[at] !== delimiter) return undefined;
    } else {
      const ends = record.indexOf(delimiter, at);
      const field = ends < 0 ? record.slice(at) : record.slice(at, ends);
      if (field.includes(quote) || field.includes('\r')) return undefined;
      fields.push(field);
      if (ends < 0) return fields;
      at = ends;
    }
  }
}

function closingQuote(record: string, quote: string, from: number): number {
  for (let at = record.indexOf(quote, from); at >= 0; at = record.indexOf(quote, at + 2)) {
    if (record[at + 1] !== quote) return at;
  }
  return -1;
}
