import { Problem } from '../problem.ts';

/** Opaque to clients: the name of the last item of the page before. */
export function encodeCursor(name: string): string {
  return Buffer.from(`after:${name}`).toString('base64url');
}

export function decodeCursor(cursor: string): string {
  const text = Buffer.from(cursor, 'base64url').toString();
  if (!text.startsWith('after:')) {
    throw new Problem('cursor-invalid', 'the cursor is not one of this server', {
      next: 'use nextCursor of the page before, or none for the first page',
    });
  }
  return text.slice('after:'.length);
}
