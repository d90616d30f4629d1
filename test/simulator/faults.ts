import type { Cluster } from './cluster.ts';
import type { ReplicaMachine } from './machine.ts';
import type { Fault } from './plan.ts';
import type { SimulatedProcess } from './process.ts';

const EIO = 5;

/** Brings faults about, and takes back those that last. */
export class Faults {
  readonly #cluster: Cluster;
  /** What ends a fault that lasts. */
  readonly #lasting = new Set<() => void>();
  #stopped = false;

  constructor(cluster: Cluster) {
    this.#cluster = cluster;
  }

  /** All that last end now; whoever is away comes back. */
  stop(): void {
    this.#stopped = true;
    for (const end of [...this.#lasting]) end();
    for (const machine of this.#cluster.machines) {
      machine.disk.beforeChange = null;
      machine.disk.forgetFailures();
      machine.disk.full = false;
      machine.slowMs = 0;
      machine.start();
    }
  }

  apply(fault: Fault): void {
    // One that was due at the very end.
    if (this.#stopped) return;
    const { machines, world, newest, lost } = this.#cluster;
    if (lost !== null && takesMore(fault)) return;
    world.note('fault', () => describeFault(fault));
    switch (fault.kind) {
      case 'kill':
        return this.#kill(this.#machine(fault.replica), fault.ms);
      case 'lose-power':
        return this.#losePower([this.#machine(fault.replica)], fault.ms);
      case 'stop':
        return this.#stop(this.#machine(fault.replica), fault.ms);
      case 'die-writing':
        return this.#dieWriting(fault);
      case 'blackout': {
        const chosen = machines.filter((_, index) => (fault.replicas & (1 << index)) !== 0);
        this.#losePower(chosen, fault.ms);
        if (fault.replicas % 2 === 1) newest?.kill();
        return;
      }
      case 'pause':
        return this.#pause(this.#machine(fault.replica).process, fault.ms);
      case 'cut':
        return this.#cut(fault);
      case 'partition':
        return this.#partition(fault);
      case 'kill-target':
        return fault.power ? newest?.losePower() : newest?.kill();
      case 'stop-target':
        newest?.stop();
        return;
      case 'pause-target':
        return this.#pause(newest?.process, fault.ms);
      case 'start-target':
        if (newest === null) this.#cluster.startTarget();
        return;
      case 'pause-first-target':
        return this.#pause(this.#cluster.liveTargets[0]?.process, fault.ms);
      case 'second-target':
        return this.#secondTarget(fault);
      case 'split':
        return this.#split(fault);
      case 'rot':
      case 'rot-page':
      case 'rot-layer':
      case 'rot-layer-page':
      case 'blank-layer-page':
        return this.#cluster.rot.plant(fault);
      default:
        this.#diskFault(fault);
    }
  }

  #machine(index: number): ReplicaMachine {
    const { machines } = this.#cluster;
    return machines[index % machines.length]!;
  }

  #pause(process: SimulatedProcess | null | undefined, ms: number): void {
    if (process == null) return;
    process.pause();
    this.#for(ms, () => process.goOn());
  }

  #kill(machine: ReplicaMachine, ms: number): void {
    machine.kill();
    machine.startLater(ms);
  }

  #losePower(machines: readonly ReplicaMachine[], ms: number): void {
    const lost = this.#cluster.site.losePower(machines);
    for (const machine of lost) machine.startLater(ms + machine.index);
  }

  #stop(machine: ReplicaMachine, ms: number): void {
    const { process } = machine;
    machine.stop();
    process?.onExit(() => machine.startLater(ms));
  }

  #dieWriting({ replica, changes, power, ms }: Fault & { kind: 'die-writing' }): void {
    const machine = this.#machine(replica);
    let left = changes;
    machine.disk.beforeChange = () => {
      if (left-- > 0) return;
      machine.disk.beforeChange = null;
      if (power) this.#losePower([machine], ms);
      else this.#kill(machine, ms);
    };
  }

  #cut({ replica, noticed }: Fault & { kind: 'cut' }): void {
    const machine = this.#machine(replica);
    for (const target of this.#cluster.liveTargets) {
      const socket = target.sockets.get(machine);
      if (socket?.closed === false && socket.connected) {
        socket.cut((noticed & 1) !== 0, (noticed & 2) !== 0);
      }
    }
  }

  #partition({ replica, direction, ms }: Fault & { kind: 'partition' }): void {
    const { host } = this.#machine(replica);
    const target = this.#cluster.newest;
    if (target === null) return;
    if (direction !== 'from-replica') this.#block(target.host, host, ms);
    if (direction !== 'to-replica') this.#block(host, target.host, ms);
  }

  #block(from: string, to: string, ms: number): void {
    const { network } = this.#cluster;
    network.block(from, to);
    this.#for(ms, () => network.heal(from, to));
  }

  #secondTarget({ isolated, ms }: Fault & { kind: 'second-target' }): void {
    const { liveTargets, machines } = this.#cluster;
    const first = liveTargets[0];
    if (liveTargets.length > 1 || first === undefined) return;
    // 0: it is only slow to notice; 1: cut off; 2: what it sends arrives, and no answer comes back.
    for (const { host } of isolated === 0 ? [] : machines) {
      if (isolated === 1) this.#block(first.host, host, ms);
      this.#block(host, first.host, ms);
    }
    this.#cluster.startTarget();
  }

  #split({ replica, lateMs, blow, ms }: Fault & { kind: 'split' }): void {
    const { liveTargets, machines, dataMachines } = this.#cluster;
    const first = liveTargets[0];
    if (liveTargets.length > 1 || first === undefined) return;
    const kept = dataMachines[replica % dataMachines.length]!;
    const second = this.#cluster.startTarget();
    this.#block(second.host, kept.host, ms);
    this.#block(kept.host, second.host, ms);
    for (const machine of machines) {
      if (machine === kept) continue;
      this.#block(first.host, machine.host, ms);
      this.#block(machine.host, first.host, lateMs > 0 ? lateMs : ms);
      const socket = first.sockets.get(machine);
      if (blow === 'restart') this.#kill(machine, 1 + machine.index);
      if (blow === 'cut' && socket?.connected === true) socket.cut(false, true);
    }
  }

  #diskFault(fault: Fault & { kind: 'slow-disk' | 'full-disk' | 'io-error' }): void {
    const machine = this.#machine(fault.replica);
    const { disk } = machine;
    switch (fault.kind) {
      case 'slow-disk':
        machine.slowMs = fault.slowMs;
        this.#for(fault.ms, () => (machine.slowMs = 0));
        return;
      case 'full-disk':
        disk.full = true;
        this.#for(fault.ms, () => (disk.full = false));
        return;
      case 'io-error':
        if (fault.operation === 'read') this.#cluster.rot.mayFailAnywhere();
        disk.failNext({ fileName: fault.file, operation: fault.operation, errno: EIO });
    }
  }

  #for(ms: number, undo: () => void): void {
    const end = (): void => {
      if (this.#lasting.delete(end)) undo();
    };
    this.#lasting.add(end);
    this.#cluster.world.after(ms, end);
  }
}

/**
 * A copy is lost: what is lost more, before a record without it is in force, is not promised to
 * survive. Nor is it without the target, which alone knows which of its records are in force.
 */
const takesMore = (fault: Fault): boolean => {
  switch (fault.kind) {
    case 'kill':
    case 'stop':
    case 'pause':
    case 'cut':
    case 'partition':
    case 'slow-disk':
    case 'full-disk':
    case 'pause-target':
    case 'pause-first-target':
      return false;
    case 'die-writing':
      return fault.power;
    default:
      return true;
  }
};

const describeFault = (fault: Fault): string =>
  Object.entries(fault)
    .filter(([name]) => name !== 'at')
    .map(([name, value]) => (name === 'kind' ? String(value) : `${name}=${String(value)}`))
    .join(' ');
