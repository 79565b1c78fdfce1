interface Page<T> {
  items: T[];
  nextCursor: string | null;
}

const pagesMax = 10;

/**
 * A page of what the caller may read. What is left out is made up for from the pages after, a few times over, so that a page
 * may hold fewer than asked for and still have a next one.
 */
export async function readablePage<T>(
  { limit, cursor }: { limit: number; cursor?: string | undefined },
  list: (page: { limit: number; cursor?: string }) => Promise<Page<T>>,
  mayRead: (item: T) => boolean,
): Promise<Page<T>> {
  const items: T[] = [];
  let nextCursor = cursor ?? null;
  for (let pages = 0; pages < pagesMax; pages++) {
    const page = await list({
      limit: limit - items.length,
      ...(nextCursor !== null && { cursor: nextCursor }),
    });
    items.push(...page.items.filter(mayRead));
    nextCursor = page.nextCursor;
    if (nextCursor === null || items.length === limit) break;
  }
  return { items, nextCursor };
}
