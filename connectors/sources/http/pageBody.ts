import { WaybillError } from '../../../domain/errors.ts';
import { parseWithItems } from '../../../domain/json/parseExactJson.ts';
import { scanJson } from '../../../domain/json/scanJson.ts';
import { cursorToNext, type PagesManifest } from '../../../domain/sources/pages.ts';

/** A page with its records in a member is held as a whole. */
const bodyBytesMax = 32 * 1024 * 1024;
const depthMax = 64;

/**
 * The records of a page, as a JSON array of the very texts that stand there, and the URL of the next page as it is written. Throws
 * `FormatMismatch`, `SourceRejected`.
 */
export async function readPageBody(
  stream: AsyncIterable<Uint8Array>,
  pages: PagesManifest & { items: string },
  source: string,
): Promise<{ bytes: Uint8Array; next: string | undefined }> {
  const { value, items } = parse(await gather(stream), pages.items);
  if (!items) throw mismatch(`The body of a page has no array “${pages.items}”.`);
  const bytes = Buffer.from(`[${items.join(',')}]`);
  if (pages.by !== 'cursor') return { bytes, next: undefined };
  try {
    return { bytes, next: cursorToNext(value, pages, source) };
  } catch (error) {
    if (error instanceof TypeError) throw mismatch(error.message);
    throw error;
  }
}

async function gather(stream: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let sizeBytes = 0;
  for await (const chunk of stream) {
    sizeBytes += chunk.length;
    if (sizeBytes > bodyBytesMax)
      throw new WaybillError('SourceRejected', {
        publicDetail: `A page of it is larger than ${bodyBytesMax} bytes. Ask for smaller pages.`,
      });
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

function parse(
  bytes: Buffer,
  member: string,
): { value: Record<string, unknown>; items: string[] | undefined } {
  let value: unknown;
  let text = '';
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
    value = JSON.parse(text);
  } catch (error) {
    throw mismatch('The body of a page is no JSON.', error);
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw mismatch('The body of a page is no JSON object.');
  if (scanJson(text, depthMax).tooDeep)
    throw mismatch(`The body of a page nests deeper than ${depthMax} levels.`);
  const exact = parseWithItems(text, member);
  if (exact.duplicateKey === member) throw mismatch(`The key “${member}” stands twice in a page.`);
  return { value: value as Record<string, unknown>, items: exact.items };
}

function mismatch(publicDetail: string, cause?: unknown): WaybillError {
  return new WaybillError('FormatMismatch', { publicDetail, cause });
}
