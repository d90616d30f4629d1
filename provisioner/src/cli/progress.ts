const BAR_WIDTH = 20;

export function progressBar(percent: number): string {
  const filled = Math.round((Math.min(100, percent) / 100) * BAR_WIDTH);
  return `[${'#'.repeat(filled)}${'.'.repeat(BAR_WIDTH - filled)}]`;
}

/**
 * One line on stderr that is redrawn on a terminal, and silence elsewhere: pipes and logs get the
 * outcome only.
 */
export class ProgressLine {
  readonly #stream: NodeJS.WriteStream;
  #drawn = false;

  constructor(stream: NodeJS.WriteStream = process.stderr) {
    this.#stream = stream;
  }

  show(percent: number, message: string): void {
    if (!this.#stream.isTTY) return;
    const text = `${progressBar(percent)} ${Math.floor(percent)}% ${message}`;
    this.#stream.write(`\r\u001b[2K${text.slice(0, (this.#stream.columns || 80) - 1)}`);
    this.#drawn = true;
  }

  clear(): void {
    if (this.#drawn) this.#stream.write('\r\u001b[2K');
    this.#drawn = false;
  }
}
