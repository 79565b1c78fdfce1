import type { Breakers } from '../../domain/ports/breakers.ts';
import type { Destinations } from '../../domain/ports/destinations.ts';
import type { ObjectStore } from '../../domain/ports/objects.ts';
import type { Outbound } from '../../domain/ports/outbound.ts';
import type { Sources } from '../../domain/ports/sources.ts';
import type { AcceptedSource } from '../../domain/sources/source.ts';

/** Sources by URL. A file is on a disk of ours. @param tenant of the current attempt */
export function guardSources(sources: Sources, breakers: Breakers, tenant: () => string): Sources {
  function through<T>({ url }: AcceptedSource, work: () => Promise<T>): Promise<T> {
    const name = url === undefined ? undefined : URL.parse(url)?.host;
    return name ? breakers.run({ kind: 'source', tenant: tenant(), name }, work) : work();
  }
  return {
    ...sources,
    async open(source, options) {
      const opened = await through(source, () => sources.open(source, options));
      // One that sends its headers and then nothing has failed as well.
      const failed = (error: unknown) => through(source, () => Promise.reject(error));
      return { ...opened, stream: noticing(opened.stream, failed) };
    },
    list: (source, since, signal) => through(source, () => sources.list(source, since, signal)),
  };
}

async function* noticing(
  stream: AsyncIterable<Uint8Array>,
  failed: (error: unknown) => Promise<unknown>,
): AsyncGenerator<Uint8Array> {
  try {
    yield* stream;
  } catch (error) {
    await failed(error).catch(() => {});
    throw error;
  }
}

export function guardOutbound(outbound: Outbound, breakers: Breakers, tenant: () => string): Outbound {
  return {
    fetch(options) {
      const of = tenant();
      const fetch = outbound.fetch(options);
      return (input, init) => {
        const name = URL.parse(input instanceof Request ? input.url : String(input))?.host ?? '';
        return breakers.run({ kind: 'lookup', tenant: of, name }, () => fetch(input, init));
      };
    },
  };
}

export function guardDestinations(destinations: Destinations, breakers: Breakers): Destinations {
  const systemOf = ({ tenant, sink }: Parameters<Destinations['write']>[0]) => ({
    kind: 'sink' as const,
    tenant,
    name: (typeof sink.url === 'string' && URL.parse(sink.url)?.host) || sink.kind,
  });
  return {
    ...destinations,
    write: (run, file, signal) => breakers.run(systemOf(run), () => destinations.write(run, file, signal)),
    complete: (run, files) => breakers.run(systemOf(run), () => destinations.complete(run, files)),
  };
}

/** The one store of this Waybill. What a compute thread reads by itself goes past its breaker. */
export function guardObjects(objects: ObjectStore, breakers: Breakers): ObjectStore {
  const through = <T>(work: () => Promise<T>) =>
    breakers.run({ kind: 'object store', tenant: '', name: 'of Waybill' }, work);
  return {
    ...(objects.opener && { opener: objects.opener }),
    put: (scope, bytes) => through(() => objects.put(scope, bytes)),
    create: (scope) => through(() => objects.create(scope)),
    get: (scope, digest) => through(() => objects.get(scope, digest)),
    getRange: (scope, digest, offset, lengthBytes) =>
      through(() => objects.getRange(scope, digest, offset, lengthBytes)),
    remove: (scope, digests) => through(() => objects.remove(scope, digests)),
    list: (after, max) => through(() => objects.list(after, max)),
    removeListed: (keys) => through(() => objects.removeListed(keys)),
  };
}
