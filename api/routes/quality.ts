import { z } from 'zod';
import { mayReadRun, readablePage } from '../../application/readable.ts';
import { runLinksOf } from '../../domain/links.ts';
import { byId, handler, Page, pageOf } from '../handler.ts';
import type { ApiOptions, ApiPorts } from '../ports.ts';
import { QualityView, qualityViewOf } from '../qualityView.ts';

const RunQualityView = QualityView.extend({
  run: z.string(),
  version: z.int().describe('Of the pipeline.'),
  measuredAt: z.iso.datetime(),
  links: z.object({ run: z.string() }),
});

export function listQuality({ quality, policy }: ApiPorts, { publicUrl }: ApiOptions) {
  return handler(
    {
      summary: 'Lists what the quality rules of a pipeline found, run by run, newest first',
      description:
        'Only of runs that you may read. A page may hold fewer than asked for and still have a next one.',
      tags: ['pipelines'],
      params: byId,
      querystring: Page,
      response: { 200: pageOf(RunQualityView) },
    },
    async ({ query, authorization }) => {
      const { principal } = authorization;
      const pipeline = authorization.pipeline!.manifest.id;
      const { items, nextCursor } = await readablePage(
        query,
        (page) => quality.list(principal.tenant, { pipeline, ...page }),
        ({ run }) => mayReadRun(policy, principal, run),
      );
      return {
        items: items.map(({ run: { id }, version, measuredAt, ...result }) => ({
          run: id,
          version,
          measuredAt,
          ...qualityViewOf(result),
          links: { run: runLinksOf(id, publicUrl).self },
        })),
        nextCursor,
      };
    },
  );
}
