export * from './types.ts';
export type { ProtocolErrorCode } from './errors.ts';
export { ProtocolError } from './errors.ts';
export { HEADER_BYTES, PROTOCOL_VERSION } from './layout.ts';
export type { FrameKind } from './kinds.ts';
export {
  computeSegmentChecksums,
  crc32Range,
  segmentCount,
  segmentTableBytes,
  verifySegments,
} from './checksum.ts';
export { verifyArrival } from './arrival.ts';
export { Frame, VolumeKey } from './frame.ts';
export type { FrameSource } from './decoder.ts';
export { FrameDecoder } from './decoder.ts';
export type { FrameFields } from './encoder.ts';
export { FrameEncoder, frameFields } from './encoder.ts';
export type {
  Message,
  MessageKind,
  Refusal,
  RefusalCode,
  WelcomeIdentity,
  WelcomeState,
} from './messages.ts';
export { decodeMessage, encodeMessage, isMessage } from './messages.ts';
export { hasBit } from './bitmap.ts';
export type { ScrubAnswer } from './scrub-answer.ts';
export { badBlocksOf, decodeScrubAnswer, encodeScrubAnswer, NOTHING_BAD } from './scrub-answer.ts';
export { MAX_LAYERS, SNAPSHOT_NAME_PATTERN } from './layers.ts';
export { bytesToUuid, isUuid, UUID_PATTERN, uuidToBytes } from './uuid.ts';
