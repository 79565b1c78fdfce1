/*
 * The few documents that an S3 server answers with are flat: elements of text, and one list of elements of text. So they are
 * read without a parser. Every value goes through `decodeXml`.
 */

export interface BucketEntry {
  key: string;
  sizeBytes: number;
  /** With its quotes. */
  etag: string;
  /** RFC 3339. */
  lastModified: string;
}

export interface ListedPage {
  objects: BucketEntry[];
  /** Asks for the next page. */
  next: string | undefined;
}

/** The answer of `ListObjectsV2`, asked for with `encoding-type=url`. */
export function readList(xml: string): ListedPage {
  const isEncoded = elementOf(xml, 'EncodingType') === 'url';
  const objects = elementsOf(xml, 'Contents').map((entry) => ({
    key: isEncoded ? decodeKey(elementOf(entry, 'Key') ?? '') : (elementOf(entry, 'Key') ?? ''),
    sizeBytes: Number(elementOf(entry, 'Size')),
    etag: elementOf(entry, 'ETag') ?? '',
    lastModified: elementOf(entry, 'LastModified') ?? '',
  }));
  const isTruncated = elementOf(xml, 'IsTruncated') === 'true';
  return { objects, next: isTruncated ? elementOf(xml, 'NextContinuationToken') : undefined };
}

export interface ListedUpload {
  key: string;
  uploadId: string;
  initiated: string;
}

/** The answer of `ListMultipartUploads`. */
export function readUploads(xml: string): ListedUpload[] {
  return elementsOf(xml, 'Upload').map((entry) => ({
    key: elementOf(entry, 'Key') ?? '',
    uploadId: elementOf(entry, 'UploadId') ?? '',
    initiated: elementOf(entry, 'Initiated') ?? '',
  }));
}

/** The text of the first element of this name. */
export function elementOf(xml: string, name: string): string | undefined {
  const text = new RegExp(`<${name}(?:\\s[^>]*)?>([^<]*)</${name}>`).exec(xml)?.[1];
  return text === undefined ? undefined : decodeXml(text);
}

export function encodeXml(text: string): string {
  return text.replace(/[&<>"'\r\n\t]/g, (character) => `&#${character.charCodeAt(0)};`);
}

function elementsOf(xml: string, name: string): string[] {
  return xml
    .split(`<${name}>`)
    .slice(1)
    .map((rest) => rest.split(`</${name}>`)[0]!);
}

const entities: Record<string, string> = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'" };

function decodeXml(text: string): string {
  return text.replace(/&(?:#x([0-9a-f]+)|#(\d+)|(\w+));/gi, (whole, hex, decimal, name) => {
    if (name !== undefined) return entities[name] ?? whole;
    return String.fromCodePoint(hex ? Number.parseInt(hex, 16) : Number(decimal));
  });
}

function decodeKey(text: string): string {
  return decodeURIComponent(text.replaceAll('+', ' '));
}
