/** The rate is that of the last so many milliseconds, in steps of STEP_MS. */
const WINDOW_MS = 10_000;
const STEP_MS = 1_000;

interface Mark {
  readonly ms: number;
  readonly doneExtents: number;
  readonly copiedBytes: number;
}

/** How far the resynchronisation of one member is. */
export class ResyncProgress {
  readonly startedMs: number;
  /** Extents that have to be compared or copied; null until that is known. */
  #totalExtents: number | null = null;
  #doneExtents = 0;
  /** Frozen layers that are filled before; each counts as much as the extents together. */
  #layers = 0;
  /** With the part of the one that is filled now. */
  #doneLayers = 0;
  #copiedBytes = 0;
  /** The oldest first; the last ones of WINDOW_MS. */
  #marks: Mark[];

  constructor(startedMs: number) {
    this.startedMs = startedMs;
    this.#marks = [{ ms: startedMs, doneExtents: 0, copiedBytes: 0 }];
  }

  get totalExtents(): number | null {
    return this.#totalExtents;
  }

  get doneExtents(): number {
    return this.#doneExtents;
  }

  get copiedBytes(): number {
    return this.#copiedBytes;
  }

  /** So many of the layers are filled, the last one perhaps in part. */
  layersFilled(done: number, layers: number): void {
    this.#layers = layers;
    this.#doneLayers = done;
  }

  /** What is to be done is known now; it begins. */
  expect(totalExtents: number, nowMs: number): void {
    this.#totalExtents = totalExtents;
    this.#marks = [{ ms: nowMs, doneExtents: 0, copiedBytes: this.#copiedBytes }];
  }

  extentDone(copiedBytes: number, nowMs: number): void {
    this.#doneExtents++;
    this.copied(copiedBytes, nowMs);
  }

  copied(bytes: number, nowMs: number): void {
    this.#copiedBytes += bytes;
    const last = this.#marks.at(-1);
    if (last !== undefined && nowMs - last.ms < STEP_MS) return;
    const mark = { ms: nowMs, doneExtents: this.#doneExtents, copiedBytes: this.#copiedBytes };
    this.#marks = [...this.#marks.filter(({ ms }) => nowMs - ms <= WINDOW_MS), mark];
  }

  get ratio(): number {
    return (this.#doneLayers + this.#extentRatio) / (this.#layers + 1);
  }

  get #extentRatio(): number {
    if (this.#totalExtents === null) return 0;
    return this.#totalExtents === 0 ? 1 : this.#doneExtents / this.#totalExtents;
  }

  /** 100 only when nothing is left. */
  get percent(): number {
    return Math.floor(100 * this.ratio);
  }

  bytesPerSecond(nowMs: number): number {
    const since = this.#since(nowMs);
    const bytes = this.#copiedBytes - since.copiedBytes;
    return Math.round((1000 * bytes) / Math.max(1, nowMs - since.ms));
  }

  /** Null while nothing tells how fast it goes. */
  etaSeconds(nowMs: number): number | null {
    if (this.#totalExtents === null) return null;
    const left = this.#totalExtents - this.#doneExtents;
    if (left === 0) return 0;
    const since = this.#since(nowMs);
    const done = this.#doneExtents - since.doneExtents;
    if (done === 0) return null;
    return Math.ceil(((nowMs - since.ms) * left) / done / 1000);
  }

  /** The oldest mark of the window, so that a stretch without progress counts as well. */
  #since(nowMs: number): Mark {
    const [first] = this.#marks;
    const since = this.#marks.find(({ ms }) => nowMs - ms <= WINDOW_MS) ?? this.#marks.at(-1);
    return since ?? first ?? { ms: nowMs, doneExtents: 0, copiedBytes: 0 };
  }
}
