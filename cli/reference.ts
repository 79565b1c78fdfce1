/** What `--source` names. */
export function referenceOf(text: string): { url: string } | { path: string } {
  return /^https?:\/\//i.test(text) ? { url: text } : { path: text };
}
