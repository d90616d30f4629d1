import { chapSettings, type ChapParts } from './chap-settings.ts';
import type { ChapSettings } from './iscsi/index.ts';
import type { Volume } from './volume.ts';

/** What belongs to the volume and not to the host on which its target runs. */
export interface Settings {
  /** Null: whoever reaches the portal may log in. */
  readonly chap: ChapSettings | null;
  /** host:port as SendTargets tells it; none: what the initiator has connected to. */
  readonly portals: readonly string[];
  /** Copied to replicas that come back, at most; null: no limit. */
  readonly rebuildBytesPerSecond: number | null;
}

/** What is left out stays. */
export type SettingsChange = Partial<Settings>;

const DOCUMENT = 'settings';
/**
 * 1: the first. `{version, volumeId, chap: null | {user, secret, mutualUser, mutualSecret},
 * portals, rebuildBytesPerSecond?}`
 */
const DOCUMENT_VERSION = 1;

/** They cannot be read: they must not be taken for none, or whoever comes may log in. */
export class SettingsError extends Error {
  override readonly name = 'SettingsError';
}

/**
 * Settings that the replicas keep, secrets included, so that a target that is started anywhere has
 * them. Changes are durable on a majority before they count, one after the other.
 */
export class SettingsKeeper {
  readonly #volume: Volume;
  readonly #changed: (settings: Settings) => void;
  #settings: Settings | null = null;
  #last: Promise<unknown> = Promise.resolve();

  constructor(volume: Volume, changed: (settings: Settings) => void) {
    this.#volume = volume;
    this.#changed = changed;
  }

  /** Null until they were read. */
  get settings(): Settings | null {
    return this.#settings;
  }

  /**
   * `given` at the start of the target counts more than what is kept, and is kept from then on;
   * `first` counts only while the volume has kept none of its own.
   */
  async restore(given: SettingsChange, first: SettingsChange = {}): Promise<Settings> {
    const content = await this.#volume.readDocument(DOCUMENT);
    const { volumeId } = this.#volume;
    const kept = content === null ? null : decodeSettings(content, volumeId);
    const settings = {
      ...NONE,
      ...kept?.settings,
      ...(kept?.isOwn === true ? {} : first),
      ...given,
    };
    const encoded = encodeSettings(settings, volumeId);
    const isKept = content === null ? isEmpty(settings) : encoded.equals(content);
    if (!isKept) await this.#volume.writeDocument(DOCUMENT, encoded);
    this.#settings = settings;
    return settings;
  }

  change(change: SettingsChange): Promise<Settings> {
    const mine = this.#last.then(async () => {
      const settings = { ...(this.#settings ?? NONE), ...change };
      await this.#volume.writeDocument(DOCUMENT, encodeSettings(settings, this.#volume.volumeId));
      this.#settings = settings;
      this.#changed(settings);
      return settings;
    });
    this.#last = mine.catch(() => undefined);
    return mine;
  }
}

/** For people: without the secrets. */
export const describeSettings = ({ chap, portals, rebuildBytesPerSecond }: Settings) => ({
  chap:
    chap === null
      ? null
      : { user: chap.initiator.user, mutualUser: chap.target === null ? null : chap.target.user },
  portals,
  rebuildBytesPerSecond,
});

const NONE: Settings = { chap: null, portals: [], rebuildBytesPerSecond: null };

const isEmpty = ({ chap, portals, rebuildBytesPerSecond }: Settings): boolean =>
  chap === null && portals.length === 0 && rebuildBytesPerSecond === null;

const encodeSettings = (
  { chap, portals, rebuildBytesPerSecond }: Settings,
  volumeId: string,
): Buffer =>
  Buffer.from(
    JSON.stringify({
      version: DOCUMENT_VERSION,
      volumeId,
      chap:
        chap === null
          ? null
          : {
              ...chap.initiator,
              mutualUser: chap.target?.user ?? null,
              mutualSecret: chap.target?.secret ?? null,
            },
      portals,
      // As a release wrote it that does not know the limit, where there is none.
      ...(rebuildBytesPerSecond === null ? {} : { rebuildBytesPerSecond }),
    }),
  );

/** Another volume's are a clone's: who may log in stays the same, where to connect does not. */
const decodeSettings = (
  content: Uint8Array,
  volumeId: string,
): { readonly settings: Settings; readonly isOwn: boolean } => {
  const document = parse(content);
  if (document['version'] !== DOCUMENT_VERSION) {
    throw new SettingsError(
      `the settings that the replicas keep are of version ${String(document['version'])}, this program knows ${DOCUMENT_VERSION}; run the version that wrote them, or a later one`,
    );
  }
  const { chap: parts, portals, rebuildBytesPerSecond = null } = document;
  const chap = parts === null ? null : chapSettings(chapParts(parts) ?? NO_PARTS);
  if (typeof chap === 'string' || (chap === null && parts !== null)) throw damaged();
  if (!isTexts(portals) || !isRate(rebuildBytesPerSecond)) throw damaged();
  const isOwn = document['volumeId'] === volumeId;
  return { settings: { chap, portals: isOwn ? portals : [], rebuildBytesPerSecond }, isOwn };
};

/** Bytes in a second, or null for no limit. */
export const isRate = (value: unknown): value is number | null =>
  value === null || (typeof value === 'number' && Number.isSafeInteger(value) && value > 0);

/** Null where it is none. */
export const chapParts = (value: unknown): ChapParts | null => {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return null;
  const { user, secret, mutualUser = null, mutualSecret = null } = value as Fields;
  const isText = (field: unknown): field is string | null =>
    field === null || typeof field === 'string';
  if (typeof user !== 'string' || typeof secret !== 'string') return null;
  if (!isText(mutualUser) || !isText(mutualSecret)) return null;
  return { user, secret, mutualUser, mutualSecret };
};

type Fields = Readonly<Record<string, unknown>>;

const NO_PARTS: ChapParts = { user: null, secret: null, mutualUser: null, mutualSecret: null };

const isTexts = (value: unknown): value is readonly string[] =>
  Array.isArray(value) && value.every((each) => typeof each === 'string');

const parse = (content: Uint8Array): Fields => {
  let value: unknown;
  try {
    value = JSON.parse(Buffer.from(content).toString());
  } catch {
    throw damaged();
  }
  if (typeof value !== 'object' || value === null) throw damaged();
  return value as Fields;
};

const damaged = (): SettingsError =>
  new SettingsError(
    'the settings that the replicas keep cannot be understood, so nobody may log in; report this',
  );
