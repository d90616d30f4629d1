import { LIMITS } from '../limits.ts';
import type { LoginIdentity } from './login/login.ts';
import { LoginStatus } from './login/status.ts';
import type { Session } from './session.ts';

/** The sessions of one target. RFC 7143 4.4.3 */
export class SessionRegistry {
  readonly #byTsih = new Map<number, Session>();
  #nextTsih = 1;

  get size(): number {
    return this.#byTsih.size;
  }

  [Symbol.iterator](): IterableIterator<Session> {
    return this.#byTsih.values();
  }

  get(tsih: number): Session | undefined {
    return this.#byTsih.get(tsih);
  }

  /** The session of the same I_T nexus: initiator name, ISID and portal group. RFC 7143 4.4.3.1 */
  find(initiatorName: string, isid: string, portalGroupTag: number): Session | null {
    for (const session of this.#byTsih.values()) {
      if (
        !session.discovery &&
        session.nexus.isid === isid &&
        session.nexus.initiatorName === initiatorName &&
        session.nexus.portalGroupTag === portalGroupTag
      ) {
        return session;
      }
    }
    return null;
  }

  /**
   * May a connection with this identity begin or join a session? Null is yes. RFC 7143 6.3.1, 6.3.5
   */
  admit(who: LoginIdentity, portalGroupTag: number): LoginStatus | null {
    if (who.tsih === 0) {
      const reinstates =
        !who.discovery && this.find(who.initiatorName, who.isid, portalGroupTag) !== null;
      return reinstates || this.size < LIMITS.sessions ? null : LoginStatus.outOfResources;
    }
    const session = this.#byTsih.get(who.tsih);
    if (
      session === undefined ||
      session.discovery !== who.discovery ||
      session.nexus.initiatorName !== who.initiatorName ||
      session.nexus.isid !== who.isid ||
      session.nexus.portalGroupTag !== portalGroupTag
    ) {
      return LoginStatus.sessionDoesNotExist;
    }
    // MaxConnections is 1, so the only connection that may join is the one that takes the place of
    // the old one.
    return session.connection.cid === who.cid ? null : LoginStatus.tooManyConnections;
  }

  newTsih(): number {
    do {
      this.#nextTsih = this.#nextTsih === 0xffff ? 1 : this.#nextTsih + 1;
    } while (this.#byTsih.has(this.#nextTsih));
    return this.#nextTsih;
  }

  add(session: Session): void {
    this.#byTsih.set(session.tsih, session);
  }

  delete(session: Session): void {
    if (this.#byTsih.get(session.tsih) === session) this.#byTsih.delete(session.tsih);
  }
}
