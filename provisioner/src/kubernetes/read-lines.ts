/**
 * The lines of a stream of UTF-8, without their ends. A line that is longer than `maxBytes` is an
 * error: a peer that sends no end must not fill the memory.
 */
export async function* readLines(
  stream: AsyncIterable<Uint8Array>,
  maxBytes: number,
): AsyncGenerator<string> {
  let parts: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of stream) {
    let start = 0;
    for (let end = chunk.indexOf(NEWLINE); end >= 0; end = chunk.indexOf(NEWLINE, start)) {
      parts.push(chunk.subarray(start, end));
      const line = Buffer.concat(parts).toString('utf8');
      parts = [];
      bytes = 0;
      start = end + 1;
      if (line !== '') yield line;
    }
    if (start === chunk.length) continue;
    parts.push(chunk.subarray(start));
    bytes += chunk.length - start;
    if (bytes > maxBytes) throw new RangeError(`a line of more than ${maxBytes} bytes`);
  }
  if (bytes > 0) yield Buffer.concat(parts).toString('utf8');
}

const NEWLINE = 0x0a;
