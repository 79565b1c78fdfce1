import { type Command, InvalidArgumentError } from 'commander';
import type { Page } from '../sdk/client.ts';

/** A command about one thing of a kind. */
export function addByIdCommand(commands: Command, name: string, description: string): Command {
  return commands.command(name).description(description).argument('<id>');
}

/** A list that is shown page by page. */
export function paged(command: Command, limit = 20): Command {
  return command
    .option('--limit <n>', 'how many to show, up to 100', pageLimit, limit)
    .option('--cursor <cursor>', 'continue where an earlier list ended');
}

/** How many items a list may show at once. */
export function pageLimit(text: string): number {
  const n = Number(text);
  if (!Number.isInteger(n) || n < 1 || n > 100)
    throw new InvalidArgumentError('It is a number from 1 to 100.');
  return n;
}

/** What `--source` names. */
export function referenceOf(text: string): { url: string } | { path: string } {
  return /^https?:\/\//i.test(text) ? { url: text } : { path: text };
}

/** The items of all pages, one page after the other. `ask` gets `{ cursor }` for each but the first. */
export async function allItems<T>(ask: (from: { cursor?: string }) => Promise<Page<T>>): Promise<T[]> {
  const items: T[] = [];
  for (let cursor: string | null | undefined; cursor !== null; ) {
    const page = await ask(cursor === undefined ? {} : { cursor });
    items.push(...page.items);
    cursor = page.nextCursor;
  }
  return items;
}
