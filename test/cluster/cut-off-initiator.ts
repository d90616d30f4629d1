/**
 * An initiator beside a target that is cut off from the rest, as a pod on the same node would be:
 *
 *     node test/cluster/cut-off-initiator.ts HOST PORT TARGET
 *
 * Says `answered` if a read or a write is answered with GOOD within the time, else why not.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { openDisk } from '../initiator/disk.ts';

const WAIT_MS = 4_000;

const [host = '', port = '', targetName = ''] = process.argv.slice(2);

const attempt = async (): Promise<string> => {
  const disk = await openDisk({ host, port: Number(port), targetName, loginTimeoutMs: WAIT_MS });
  const good = await Promise.race([
    disk.read(0, 4096).then(() => 'a read is answered'),
    disk.write(0, Buffer.alloc(4096)).then(() => 'a write is answered'),
    delay(WAIT_MS, 'held: neither a read nor a write was answered'),
  ]);
  return good;
};

const text = await attempt().catch((error: unknown) => `refused: ${String(error)}`);
process.stdout.write(`${text}\n`);
process.exit(0);
