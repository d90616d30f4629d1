/**
 * What the protocol's two ends need of a stream socket. node:net's Socket has it; a simulated
 * network brings its own, so that the same code runs on both.
 */
export interface Connection {
  /** Handed over by `write` and not yet taken by the network. Bytes. */
  readonly writableLength: number;
  /** The bytes are lent until `taken` is called. */
  write(bytes: Uint8Array, taken?: () => void): boolean;
  cork(): void;
  uncork(): void;
  /** Closes this side after everything that was written. */
  end(): unknown;
  /** Closes both sides at once. */
  destroy(): unknown;
  pause(): unknown;
  resume(): unknown;
  setNoDelay(on: boolean): unknown;
  setKeepAlive(on: boolean, delayMs: number): unknown;
  on(event: 'error', listener: (error: Error) => void): unknown;
  /** `end`: the peer has closed its side. `close`: nothing more follows. */
  on(event: 'end' | 'close', listener: () => void): unknown;
  on(event: 'data', listener: (chunk: Buffer) => void): unknown;
}
