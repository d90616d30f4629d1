import type { Connection } from '../../replica/src/runtime/index.ts';
import type { Random } from '../support/random.ts';
import type { SimulatedProcess } from './process.ts';
import type { World } from './world.ts';

type Accept = (connection: SimulatedSocket) => void;

interface Listener {
  readonly process: SimulatedProcess;
  readonly accept: Accept;
}

/** How one direction of a connection behaves. */
interface Wire {
  readonly latencyMs: number;
  readonly jitterMs: number;
  /** What the kernel takes before the reader has read it. Bytes. */
  readonly capacity: number;
}

/**
 * Hosts and what lies between them. Each connection is two ordered streams of bytes; between two
 * streams there is no order. A direction between two hosts can be blocked: what was sent waits and
 * arrives after it is healed, as TCP repeats it.
 */
export class Network {
  readonly world: World;
  readonly #listeners = new Map<string, Listener>();
  readonly #blocked = new Map<string, number>();
  readonly #lost = new Set<string>();
  readonly sockets = new Set<SimulatedSocket>();
  #count = 0;

  constructor(world: World) {
    this.world = world;
  }

  listen(address: string, process: SimulatedProcess, accept: Accept): void {
    this.#listeners.set(address, { process, accept });
  }

  isBlocked(from: string, to: string): boolean {
    return this.#blocked.size > 0 && this.#blocked.has(`${from} ${to}`);
  }

  /** One direction only; nests. */
  block(from: string, to: string): void {
    const key = `${from} ${to}`;
    this.#blocked.set(key, (this.#blocked.get(key) ?? 0) + 1);
  }

  heal(from: string, to: string): void {
    const key = `${from} ${to}`;
    const left = (this.#blocked.get(key) ?? 1) - 1;
    if (left > 0) {
      this.#blocked.set(key, left);
      return;
    }
    this.#blocked.delete(key);
    for (const socket of [...this.sockets]) {
      if (socket.process.host === to && socket.peer.process.host === from) socket.arrivals();
    }
  }

  connect(from: SimulatedProcess, address: string): SimulatedSocket {
    const random = this.world.random(`connection ${this.#count++}`);
    const listener = this.#listeners.get(address);
    const slow = random.chance(0.1);
    const wire: Wire = {
      latencyMs: slow ? 5 + random.below(20) : 0.05 + random.below(100) / 100,
      jitterMs: random.chance(0.3) ? random.below(40) : 1,
      capacity: random.pick([16, 64, 208, 1024]) * 1024,
    };
    const client = new SimulatedSocket(this, from, wire, random);
    const server = new SimulatedSocket(this, listener?.process ?? from, wire, random);
    client.peer = server;
    server.peer = client;
    this.sockets.add(client);
    const arrive = (): void => {
      const host = listener?.process.host ?? '';
      if (client.closed) return;
      // Nobody answers: the client gives up by itself.
      if (this.isBlocked(from.host, host) || this.isBlocked(host, from.host)) return;
      const open = this.#listeners.get(address);
      if (this.#lost.has(host)) return;
      if (open?.process.alive !== true) {
        client.reset('ECONNREFUSED');
        return;
      }
      server.process = open.process;
      this.sockets.add(server);
      client.connected = true;
      server.connected = true;
      open.process.run(() => open.accept(server));
      server.arrivals();
      client.arrivals();
    };
    this.world.after(wire.latencyMs, arrive);
    return client;
  }

  /** The process is gone: the kernel ends its connections. */
  processDied(process: SimulatedProcess): void {
    for (const socket of [...this.sockets]) if (socket.process === process) socket.abandon(true);
  }

  /** The machine is gone: nobody tells the peers until it is back and knows nothing of them. */
  hostLost(host: string): void {
    this.#lost.add(host);
    for (const socket of [...this.sockets]) {
      if (socket.process.host === host) socket.abandon(false);
    }
  }

  hostBack(host: string): void {
    this.#lost.delete(host);
    for (const { peer } of [...this.sockets]) if (peer.process.host === host) peer.arrivals();
  }

  carries(from: string, to: string): boolean {
    return !this.isBlocked(from, to) && !this.#lost.has(to);
  }
}

const KEEP_ALIVE_MS = { least: 10_000, spread: 40_000 };

/** One end of a connection. */
export class SimulatedSocket implements Connection {
  readonly network: Network;
  process: SimulatedProcess;
  peer!: SimulatedSocket;
  connected = false;
  closed = false;
  readonly #wire: Wire;
  readonly #random: Random;
  readonly #listeners: {
    error: ((error: Error) => void)[];
    end: (() => void)[];
    close: (() => void)[];
    data: ((chunk: Buffer) => void)[];
  } = { error: [], end: [], close: [], data: [] };
  /** Lent to us: the kernel has no room for it yet. */
  #unsent: { readonly bytes: Uint8Array; readonly taken: (() => void) | undefined }[] = [];
  #unsentBytes = 0;
  #ending = false;
  #sentEnd = false;
  #gotEnd = false;
  /** On their way here, or arrived and not read: bytes, or the end. */
  #incoming: { readonly at: number; readonly bytes: Buffer | 'end' | 'reset' }[] = [];
  #incomingBytes = 0;
  #lastArrival = 0;
  #arrivalDue = Infinity;
  #reading = true;
  #broken = false;

  constructor(network: Network, process: SimulatedProcess, wire: Wire, random: Random) {
    this.network = network;
    this.process = process;
    this.#wire = wire;
    this.#random = random;
  }

  /** Made once each: they are what most events are. */
  readonly #handOver = (): void => this.arrivals();
  readonly #arrive = (): void => {
    this.#arrivalDue = Infinity;
    this.arrivals();
  };
  readonly #peerHasRoom = (): void => this.peer.#makeRoom();

  get writableLength(): number {
    return this.#unsentBytes;
  }

  write(bytes: Uint8Array, taken?: () => void): boolean {
    if (this.closed || this.#ending || !this.process.alive) {
      if (taken !== undefined) process.nextTick(taken);
      return false;
    }
    this.#unsent.push({ bytes, taken });
    this.#unsentBytes += bytes.length;
    this.#send();
    return this.#unsentBytes === 0;
  }

  cork(): void {
    // Bytes are a stream: how they are grouped shows nowhere.
  }

  uncork(): void {
    // See cork().
  }

  end(): void {
    if (this.closed || this.#ending) return;
    this.#ending = true;
    this.#send();
  }

  destroy(): void {
    if (this.closed) return;
    this.#close(this.#incoming.length > 0 ? 'reset' : 'end');
    process.nextTick(() => this.#emitClose());
  }

  pause(): void {
    this.#reading = false;
  }

  resume(): void {
    if (this.#reading) return;
    this.#reading = true;
    this.arrivals();
  }

  setNoDelay(): void {
    // Nothing is held back here.
  }

  setKeepAlive(): void {
    // Every connection has it, see #notice().
  }

  on(event: 'error', listener: (error: Error) => void): void;
  on(event: 'end' | 'close', listener: () => void): void;
  on(event: 'data', listener: (chunk: Buffer) => void): void;
  on(event: 'error' | 'end' | 'close' | 'data', listener: (value: never) => void): void {
    (this.#listeners[event] as ((value: never) => void)[]).push(listener);
  }

  /** Neither cut nor held up, whether its ends have noticed or not. */
  get sound(): boolean {
    const { network, peer, process } = this;
    const [here, there] = [process.host, peer.process.host];
    const held = network.isBlocked(here, there) || network.isBlocked(there, here);
    return this.connected && !this.closed && !this.#broken && !held;
  }

  /** Breaks the connection: what is on its way is lost from some point on. */
  cut(noticedHere: boolean, noticedThere: boolean): void {
    for (const end of [this, this.peer]) {
      if (end.#broken) continue;
      end.#broken = true;
      const kept = this.#random.below(end.#incoming.length + 1);
      for (const { bytes } of end.#incoming.splice(kept)) {
        if (typeof bytes !== 'string') end.#incomingBytes -= bytes.length;
      }
    }
    this.#notice(noticedHere);
    this.peer.#notice(noticedThere);
  }

  /** The process or the machine of this end is gone. */
  abandon(told: boolean): void {
    if (this.closed) return;
    if (told) this.#close(this.#random.chance(0.5) ? 'reset' : 'end');
    else {
      this.closed = true;
      this.network.sockets.delete(this);
      if (!this.peer.closed) this.peer.#notice(false);
    }
  }

  reset(code: string): void {
    if (this.closed) return;
    this.#close(null);
    this.process.run(() => {
      const error = Object.assign(new Error(`simulated ${code}`), { code });
      for (const listener of this.#listeners.error) listener(error);
      this.#emitClose();
    });
  }

  /** Hands over what has arrived. */
  arrivals(): void {
    const next = this.#incoming[0];
    if (next === undefined || !this.connected) return;
    const { world } = this.network;
    if (next.at > world.now) {
      if (this.#arrivalDue <= next.at) return;
      this.#arrivalDue = next.at;
      world.after(next.at - world.now, this.#arrive);
      return;
    }
    if (!this.network.carries(this.peer.process.host, this.process.host)) return;
    if (this.closed) {
      this.#refuse();
      return;
    }
    if (!this.#reading && next.bytes !== 'reset') return;
    this.#incoming.shift();
    this.process.run(() => this.#deliver(next.bytes));
    if (this.#incoming.length > 0) world.after(0, this.#handOver);
  }

  #deliver(bytes: Buffer | 'end' | 'reset'): void {
    if (this.closed) return;
    if (bytes === 'reset') {
      this.reset('ECONNRESET');
      return;
    }
    if (bytes === 'end') {
      for (const listener of this.#listeners.end) listener();
      this.#gotEnd = true;
      this.end();
      this.#closeIfEnded();
      return;
    }
    this.#incomingBytes -= bytes.length;
    const cut = this.#random.chance(0.1) ? this.#random.below(bytes.length) : 0;
    for (const listener of this.#listeners.data) {
      if (cut > 0) listener(bytes.subarray(0, cut));
      listener(bytes.subarray(cut));
    }
    // The peer's kernel has room again.
    this.network.world.after(this.#wire.latencyMs, this.#peerHasRoom);
  }

  /** Bytes for an end that is closed: the sender is told, if the way back is open. */
  #refuse(): void {
    const data = this.#incoming.some(({ bytes }) => typeof bytes !== 'string');
    this.#incoming = [];
    if (!data) return;
    this.network.world.after(this.#wire.latencyMs, () => {
      if (!this.network.isBlocked(this.process.host, this.peer.process.host)) {
        this.peer.reset('ECONNRESET');
      }
    });
  }

  #closeIfEnded(): void {
    if (!this.#gotEnd || !this.#sentEnd || this.closed) return;
    this.#close(null);
    process.nextTick(() => this.#emitClose());
  }

  #makeRoom(): void {
    if (this.#unsent.length > 0) this.process.run(() => this.#send());
  }

  #send(): void {
    const { peer } = this;
    while (this.#unsent.length > 0 && peer.#incomingBytes < this.#wire.capacity) {
      const { bytes, taken } = this.#unsent.shift()!;
      this.#unsentBytes -= bytes.length;
      // Copied when it is taken and not before: until then it is only lent.
      peer.#expect(Buffer.from(bytes));
      if (taken !== undefined) process.nextTick(taken);
    }
    if (!this.#ending || this.#sentEnd || this.#unsent.length > 0) return;
    this.#sentEnd = true;
    peer.#expect('end');
    this.#closeIfEnded();
  }

  #expect(bytes: Buffer | 'end' | 'reset'): void {
    if (this.#broken) return;
    const { world } = this.network;
    const jitter = this.#random.chance(0.03)
      ? this.#random.below(this.#wire.jitterMs + 1)
      : this.#random.below(100) / 200;
    const at = Math.max(this.#lastArrival, world.now + this.#wire.latencyMs + jitter);
    this.#lastArrival = at;
    if (typeof bytes !== 'string') this.#incomingBytes += bytes.length;
    this.#incoming.push({ at, bytes });
    if (this.#incoming.length === 1) this.arrivals();
  }

  #close(toPeer: 'end' | 'reset' | null): void {
    this.closed = true;
    this.network.sockets.delete(this);
    for (const { taken } of this.#unsent.splice(0)) {
      if (taken !== undefined && this.process.alive) process.nextTick(taken);
    }
    this.#unsentBytes = 0;
    if (toPeer !== null && !this.#sentEnd && !this.peer.closed) this.peer.#expect(toPeer);
  }

  #emitClose(): void {
    if (!this.process.alive) return;
    for (const listener of this.#listeners.close) listener();
  }

  /** Soon, or when the kernel's probes of a silent connection fail. */
  #notice(soon: boolean): void {
    const { least, spread } = KEEP_ALIVE_MS;
    const afterMs = soon ? this.#random.below(500) / 100 : least + this.#random.below(spread);
    this.network.world.after(afterMs, () => this.reset(soon ? 'ECONNRESET' : 'ETIMEDOUT'));
  }
}
