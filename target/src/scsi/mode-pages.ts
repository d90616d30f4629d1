/** Mode pages: what they hold now and which bits may be changed. SPC-4 7.5, SBC-3 6.5 */
import { defaultModeParameters, type ModeParameters } from './mode-parameters.ts';

export interface ModePage {
  readonly code: number;
  /** Whole page, with its two byte header (page_0 format). */
  build(parameters: ModeParameters): Uint8Array;
  /** Bits that MODE SELECT may change; the header's are zero. */
  readonly changeable: Uint8Array;
  /** Takes the changeable bits of a page over into the parameters. */
  apply(page: Uint8Array, parameters: ModeParameters): void;
}

function pageBytes(
  code: number,
  length: number,
  fields: Readonly<Record<number, number>>,
): Uint8Array {
  const page = new Uint8Array(length);
  page[0] = code;
  page[1] = length - 2;
  for (const [at, value] of Object.entries(fields)) page[Number(at)] = value;
  return page;
}

function mask(length: number, fields: Readonly<Record<number, number>>): Uint8Array {
  const bytes = pageBytes(0, length, fields);
  bytes[1] = 0;
  return bytes;
}

const WCE = 0x04;
const D_SENSE = 0x04;
const GLTSD = 0x02;
const SWP = 0x08;
const UNRESTRICTED_REORDERING = 0x10;
const DEXCPT = 0x08;

function nothing(): void {
  // The page has no changeable bit.
}

/** Ascending by code, the order of MODE SENSE for all pages. SPC-4 6.11.1 */
export const MODE_PAGES: readonly ModePage[] = [
  {
    // Read-write error recovery, SBC-3 6.5.8: the replicas do what recovery there is.
    code: 0x01,
    build: () => pageBytes(0x01, 12, {}),
    changeable: mask(12, {}),
    apply: nothing,
  },
  {
    // Disconnect-reconnect, SPC-4 7.5.11: no limits besides those of the iSCSI session.
    code: 0x02,
    build: () => pageBytes(0x02, 16, {}),
    changeable: mask(16, {}),
    apply: nothing,
  },
  {
    // Caching, SBC-3 6.5.5
    code: 0x08,
    build: (parameters) => pageBytes(0x08, 20, { 2: parameters.writeCacheEnabled ? WCE : 0 }),
    changeable: mask(20, { 2: WCE }),
    apply: (page, parameters) => {
      parameters.writeCacheEnabled = ((page[2] ?? 0) & WCE) !== 0;
    },
  },
  {
    // Control, SPC-4 7.5.10: one task set for all nexuses (TST zero), aborted tasks get no status
    // (TAS zero).
    code: 0x0a,
    build: (parameters) =>
      pageBytes(0x0a, 12, {
        2: GLTSD | (parameters.descriptorSense ? D_SENSE : 0),
        3: UNRESTRICTED_REORDERING,
        4: parameters.softwareWriteProtect ? SWP : 0,
      }),
    changeable: mask(12, { 2: D_SENSE, 4: SWP }),
    apply: (page, parameters) => {
      parameters.descriptorSense = ((page[2] ?? 0) & D_SENSE) !== 0;
      parameters.softwareWriteProtect = ((page[4] ?? 0) & SWP) !== 0;
    },
  },
  {
    // Informational exceptions control, SPC-4 7.5.14: none are generated (DEXCPT); metrics and
    // events tell more.
    code: 0x1c,
    build: () => pageBytes(0x1c, 12, { 2: DEXCPT }),
    changeable: mask(12, {}),
    apply: nothing,
  },
];

export function findModePage(code: number): ModePage | null {
  return MODE_PAGES.find((page) => page.code === code) ?? null;
}

/** SPC-4 6.11.1, PAGE CONTROL */
export const PageControl = { current: 0, changeable: 1, defaults: 2, saved: 3 } as const;

export function modePageData(
  page: ModePage,
  control: number,
  parameters: ModeParameters,
): Uint8Array {
  if (control === PageControl.current) return page.build(parameters);
  const data = page.build(defaultModeParameters());
  if (control === PageControl.changeable) {
    const header = data.slice(0, 2);
    data.set(page.changeable);
    data.set(header);
  }
  return data;
}
