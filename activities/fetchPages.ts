import { Context } from '@temporalio/activity';
import { WaybillError } from '../domain/errors.ts';
import type { FormatManifest } from '../domain/pipelines/manifest.ts';
import type { OpenOptions, OpenSource } from '../domain/ports/sources.ts';
import type { Batch } from '../domain/runs/batch.ts';
import type { RunFacts } from '../domain/runs/runFacts.ts';
import { numberedPage, type Page, type PagesManifest } from '../domain/sources/pages.ts';
import { redactSource } from '../domain/sources/redactSource.ts';
import type { Window } from '../domain/sources/watermark.ts';
import type { Dependencies } from './dependencies.ts';
import { type BatchPlace, nextOf, shifted } from './fetchObjects.ts';
import { audited, objectScopeOf, requireDefinition } from './run.ts';

/**
 * Reads the pages of a URL into batches, one after the other; no batch holds records of two. A retry begins again with the page of the last
 * batch, and compares its batches with those on record. Throws `PagesEndless` where pages lead back, or are too many.
 */
export async function fetchPages(
  deps: Dependencies,
  run: RunFacts,
  format: FormatManifest,
  pages: PagesManifest,
  how: Pick<OpenOptions, 'since' | 'token' | 'compression'> & { window: Window | undefined },
): Promise<void> {
  const { limits } = requireDefinition(deps).manifest;
  const signal = Context.current().cancellationSignal;
  const { window, since, ...withAll } = how;
  const seen = new Set<string>();
  let { page, place } = (await lastRead(deps, run)) ?? firstPage(run, pages);
  let holdsData = place.seq > 0;
  let before = '';
  for (;;) {
    if (page.number > pages.max)
      throw endless(`There are more than ${pages.max}, the bound of the definition.`);
    if (seen.has(page.url)) throw endless(`Page ${page.number} is one that was read before.`);
    seen.add(page.url);
    const opened = await deps.sources.open(run.source, {
      ...withAll,
      // A link says all that its server needs.
      ...(since && (page.number === 1 || pages.by === 'number') && { since }),
      ...{ signal, page, pages },
    });
    const input = { format, limits, compression: opened.encoding ?? how.compression };
    const reception = deps.receiver.receive(objectScopeOf(run), input, opened.stream);
    const of = { source: nameOf(opened, page), sourceVersion: JSON.stringify(page) };
    const base = place;
    const digests: string[] = [];
    for await (const one of reception) {
      const batch: Batch = { ...shifted(one, base), ...of };
      // Reading may take hours, in which the right may be revoked.
      await deps.recheck();
      await deps.batches.append(run, batch);
      place = nextOf(batch);
      digests.push(batch.digest);
      signal.throwIfAborted();
    }
    holdsData ||= reception.holdsData;
    const next = nextPage(run, pages, page, opened, digests.length > 0);
    if (!next) break;
    // A server that does not know the parameter gives its first page for ever.
    if (pages.by === 'number' && digests.join() === before)
      throw endless(`Page ${page.number} is the one before.`);
    before = digests.join();
    page = next;
  }
  if (!holdsData && !window) throw new WaybillError('SourceEmpty');
  const detail = { source: redactSource(run.source), pages: page.number, ...(window && { window }) };
  await deps.batches.seal(run, 0, audited(deps, 'source.read', detail));
}

function firstPage(run: RunFacts, pages: PagesManifest): { page: Page; place: BatchPlace } {
  const url = numberedPage(run.source.url!, pages, 1) ?? run.source.url!;
  return { page: { url, number: 1, foreign: false }, place: { seq: 0, firstRecord: 0 } };
}

/** Which page the last batch is of, and where its batches begin. */
async function lastRead(
  deps: Dependencies,
  run: RunFacts,
): Promise<{ page: Page; place: BatchPlace } | undefined> {
  // A first attempt after a reset compares each batch with the one on record.
  if (Context.current().info.attempt === 1) return undefined;
  const last = await deps.batches.findLast(run);
  if (last?.source === undefined || last.sourceVersion === undefined) return undefined;
  const place = await deps.batches.findFirstOf(run, last.source);
  return place && { page: JSON.parse(last.sourceVersion) as Page, place };
}

/** Other parts of a page’s URL may be secret, and every page needs a name of its own. */
function nameOf({ url }: OpenSource, page: Page): string {
  const shown = redactSource({ url: (url ?? page.url).replace(/#.*$/, '') });
  return `${shown.url}#page=${page.number}`;
}

function nextPage(
  run: RunFacts,
  pages: PagesManifest,
  page: Page,
  opened: OpenSource,
  hasRecords: boolean,
): Page | undefined {
  const number = page.number + 1;
  const origin = new URL(run.source.url!).origin;
  const elsewhere = (url: string) => new URL(url).origin !== origin;
  const foreign = page.foreign || elsewhere(opened.url ?? page.url);
  if (pages.by === 'number')
    return hasRecords ? { url: numberedPage(run.source.url!, pages, number)!, number, foreign } : undefined;
  if (opened.next === undefined) return undefined;
  // A cursor is a value within our own URL; a link is for the server that gave it.
  return { url: opened.next, number, foreign: foreign || elsewhere(opened.next) };
}

function endless(publicDetail: string): WaybillError {
  return new WaybillError('PagesEndless', { publicDetail });
}
