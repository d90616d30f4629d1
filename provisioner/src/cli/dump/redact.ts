export const REDACTED = 'REDACTED';

const RULES: readonly (readonly [RegExp, string])[] = [
  // A field of JSON whose name speaks of a secret, whatever its text is.
  [/("[^"]*(?:secret|token|password)[^"]*"\s*:\s*)"(?:[^"\\]|\\.)*"/gi, `$1"${REDACTED}"`],
  [/\b(Bearer\s+)[\w.~+/=-]+/gi, `$1${REDACTED}`],
  // iscsi://user%secret@portal
  [/(iscsi:\/\/[^\s%@/]+%)[^\s@]+@/gi, `$1${REDACTED}@`],
];

/** What looks like a secret, and every one of those that are known, wherever they stand. */
export function redact(text: string, known: readonly string[]): string {
  const without = known
    .filter((secret) => secret !== '')
    .reduce((rest, secret) => rest.replaceAll(secret, REDACTED), text);
  return RULES.reduce((rest, [pattern, by]) => rest.replace(pattern, by), without);
}
