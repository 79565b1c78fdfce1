/** Text that came from elsewhere, on one line and unable to move the cursor or to colour the terminal. */
export function plain(text: string): string {
  return text.replaceAll(/[\s\p{Zl}\p{Zp}]+/gu, ' ').replaceAll(/[\p{Cc}\p{Cf}]/gu, '\u{fffd}');
}
