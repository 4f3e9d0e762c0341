"""The part of Shopify's Admin schema that the sandbox has: same names, nullability, arguments.

It is written in SDL after the introspection of version 2026-07, and a test holds it to be a subset.
The sandbox refuses a query that uses sort keys, arguments or fields which only Shopify has.
"""

from typing import Final

SDL: Final = """
schema { query: QueryRoot mutation: Mutation }

scalar DateTime
scalar FormattedString
scalar Money
scalar UnsignedInt64
scalar URL

interface Node { id: ID! }

type QueryRoot {
  shop: Shop!
  product(id: ID!): Product
  productVariant(id: ID!): ProductVariant
  node(id: ID!): Node
  nodes(ids: [ID!]!): [Node]!
  products(
    after: String, before: String, first: Int, last: Int, query: String,
    reverse: Boolean = false, sortKey: ProductSortKeys = ID
  ): ProductConnection!
  productVariants(
    after: String, before: String, first: Int, last: Int, query: String,
    reverse: Boolean = false, sortKey: ProductVariantSortKeys = ID
  ): ProductVariantConnection!
  productsCount(limit: Int = 10000, query: String): Count
  productVariantsCount(limit: Int = 10000, query: String): Count
  publicApiVersions: [ApiVersion!]!
  events(
    after: String, before: String, first: Int, last: Int, query: String,
    reverse: Boolean = false, sortKey: EventSortKeys = ID
  ): EventConnection
  bulkOperation(id: ID!): BulkOperation
  bulkOperations(
    after: String, before: String, first: Int, last: Int, reverse: Boolean = false,
    sortKey: BulkOperationsSortKeys = CREATED_AT
  ): BulkOperationConnection!
  webhookSubscription(id: ID!): WebhookSubscription
  webhookSubscriptions(
    after: String, before: String, callbackUrl: URL, first: Int, format: WebhookSubscriptionFormat,
    last: Int, reverse: Boolean = false,
    sortKey: WebhookSubscriptionSortKeys = CREATED_AT, topics: [WebhookSubscriptionTopic!],
    uri: String
  ): WebhookSubscriptionConnection!
}

type Mutation {
  bulkOperationRunQuery(
    groupObjects: Boolean! = false, query: String!
  ): BulkOperationRunQueryPayload
  bulkOperationCancel(id: ID!): BulkOperationCancelPayload
  webhookSubscriptionCreate(
    topic: WebhookSubscriptionTopic!, webhookSubscription: WebhookSubscriptionInput!
  ): WebhookSubscriptionCreatePayload
  webhookSubscriptionUpdate(
    id: ID!, webhookSubscription: WebhookSubscriptionInput!
  ): WebhookSubscriptionUpdatePayload
  webhookSubscriptionDelete(id: ID!): WebhookSubscriptionDeletePayload
}

enum WebhookSubscriptionFormat { JSON XML }
enum WebhookSubscriptionSortKeys { CREATED_AT ID }
enum WebhookSubscriptionTopic {
  APP_UNINSTALLED BULK_OPERATIONS_FINISH INVENTORY_ITEMS_CREATE INVENTORY_ITEMS_DELETE
  INVENTORY_ITEMS_UPDATE INVENTORY_LEVELS_CONNECT INVENTORY_LEVELS_DISCONNECT
  INVENTORY_LEVELS_UPDATE ORDERS_CREATE ORDERS_UPDATED PRODUCTS_CREATE PRODUCTS_DELETE
  PRODUCTS_UPDATE SHOP_UPDATE VARIANTS_IN_STOCK VARIANTS_OUT_OF_STOCK
}

type WebhookSubscription implements Node {
  id: ID!
  legacyResourceId: UnsignedInt64!
  apiVersion: ApiVersion!
  topic: WebhookSubscriptionTopic!
  uri: String!
  callbackUrl: URL! @deprecated(reason: "Use `uri` instead.")
  format: WebhookSubscriptionFormat!
  filter: String
  name: String
  includeFields: [String!]!
  metafieldNamespaces: [String!]!
  createdAt: DateTime!
  updatedAt: DateTime!
}

type WebhookSubscriptionConnection {
  edges: [WebhookSubscriptionEdge!]!
  nodes: [WebhookSubscription!]!
  pageInfo: PageInfo!
}
type WebhookSubscriptionEdge { cursor: String! node: WebhookSubscription! }
input WebhookSubscriptionInput {
  callbackUrl: URL
  filter: String
  format: WebhookSubscriptionFormat
  includeFields: [String!]
  metafieldNamespaces: [String!]
  name: String
  uri: String
}
type WebhookSubscriptionCreatePayload {
  webhookSubscription: WebhookSubscription
  userErrors: [UserError!]!
}
type WebhookSubscriptionUpdatePayload {
  webhookSubscription: WebhookSubscription
  userErrors: [UserError!]!
}
type WebhookSubscriptionDeletePayload {
  deletedWebhookSubscriptionId: ID
  userErrors: [UserError!]!
}

enum BulkOperationsSortKeys { CREATED_AT }
enum BulkOperationStatus { CANCELED CANCELING COMPLETED CREATED EXPIRED FAILED RUNNING }
enum BulkOperationErrorCode { ACCESS_DENIED INTERNAL_SERVER_ERROR TIMEOUT }
enum BulkOperationType { MUTATION QUERY }
enum BulkOperationUserErrorCode { INVALID LIMIT_REACHED OPERATION_IN_PROGRESS }

type BulkOperation implements Node {
  id: ID!
  type: BulkOperationType!
  status: BulkOperationStatus!
  errorCode: BulkOperationErrorCode
  query: String!
  objectCount: UnsignedInt64!
  rootObjectCount: UnsignedInt64!
  fileSize: UnsignedInt64
  createdAt: DateTime!
  completedAt: DateTime
  url: URL
  partialDataUrl: URL
}

type BulkOperationConnection {
  edges: [BulkOperationEdge!]!
  nodes: [BulkOperation!]!
  pageInfo: PageInfo!
}
type BulkOperationEdge { cursor: String! node: BulkOperation! }
type BulkOperationRunQueryPayload {
  bulkOperation: BulkOperation
  userErrors: [BulkOperationUserError!]!
}
type BulkOperationCancelPayload { bulkOperation: BulkOperation userErrors: [UserError!]! }

interface DisplayableError { field: [String!] message: String! }
type BulkOperationUserError implements DisplayableError {
  code: BulkOperationUserErrorCode
  field: [String!]
  message: String!
}
type UserError implements DisplayableError { field: [String!] message: String! }

enum EventSortKeys { CREATED_AT ID }
enum EventSubjectType { COLLECTION ORDER PRODUCT PRODUCT_VARIANT UNKNOWN }
enum ProductSortKeys { CREATED_AT ID TITLE UPDATED_AT }
enum ProductVariantSortKeys { ID POSITION SKU TITLE }
enum ProductVariantInventoryPolicy { CONTINUE DENY }
enum ProductStatus { ACTIVE ARCHIVED DRAFT UNLISTED }
enum CountPrecision { AT_LEAST EXACT }
enum MediaContentType { EXTERNAL_VIDEO IMAGE MODEL_3D VIDEO }
enum MediaStatus { FAILED PROCESSING READY UPLOADED }
enum CurrencyCode {
  AED AUD BRL CAD CHF CLP CZK DKK EUR GBP HKD HUF INR ISK JPY KRW KWD MXN NOK NZD PLN SEK SGD
  THB TRY USD VND ZAR
}

type ApiVersion { displayName: String! handle: String! supported: Boolean! }

type Shop implements Node {
  id: ID!
  name: String!
  myshopifyDomain: String!
  currencyCode: CurrencyCode!
}

type Product implements Node {
  id: ID!
  legacyResourceId: UnsignedInt64!
  title: String!
  handle: String!
  vendor: String!
  productType: String!
  status: ProductStatus!
  publishedAt: DateTime
  createdAt: DateTime!
  updatedAt: DateTime!
  totalInventory: Int!
  tracksInventory: Boolean!
  hasOnlyDefaultVariant: Boolean!
  featuredImage: Image @deprecated(reason: "Use `featuredMedia` instead.")
  featuredMedia: Media
  media(
    after: String, before: String, first: Int, last: Int, reverse: Boolean = false
  ): MediaConnection!
  variants(
    after: String, before: String, first: Int, last: Int, reverse: Boolean = false,
    sortKey: ProductVariantSortKeys = POSITION
  ): ProductVariantConnection!
  variantsCount: Count
}

type ProductVariant implements Node {
  id: ID!
  legacyResourceId: UnsignedInt64!
  title: String!
  displayName: String!
  sku: String
  barcode: String
  price: Money!
  compareAtPrice: Money
  position: Int!
  inventoryQuantity: Int
  inventoryPolicy: ProductVariantInventoryPolicy!
  availableForSale: Boolean!
  inventoryItem: InventoryItem!
  createdAt: DateTime!
  updatedAt: DateTime!
  image: Image @deprecated(reason: "Use `media` instead.")
  media(
    after: String, before: String, first: Int, last: Int, reverse: Boolean = false
  ): MediaConnection!
  product: Product!
}

type InventoryItem implements Node {
  id: ID!
  sku: String
  tracked: Boolean!
  variants(after: String, before: String, first: Int, last: Int): ProductVariantConnection
}

interface Event {
  id: ID!
  action: String!
  createdAt: DateTime!
  message: FormattedString!
}

type BasicEvent implements Event & Node {
  id: ID!
  action: String!
  createdAt: DateTime!
  message: FormattedString!
  subjectId: ID!
  subjectType: EventSubjectType!
}

interface Media {
  id: ID!
  alt: String
  mediaContentType: MediaContentType!
  preview: MediaPreviewImage
  status: MediaStatus!
}

type MediaImage implements Media & Node {
  id: ID!
  alt: String
  image: Image
  mediaContentType: MediaContentType!
  preview: MediaPreviewImage
  status: MediaStatus!
}

type MediaPreviewImage { image: Image }
type Image { id: ID altText: String url: URL! }
type Count { count: Int! precision: CountPrecision! }

type PageInfo {
  hasNextPage: Boolean!
  hasPreviousPage: Boolean!
  startCursor: String
  endCursor: String
}

type ProductConnection { edges: [ProductEdge!]! nodes: [Product!]! pageInfo: PageInfo! }
type ProductEdge { cursor: String! node: Product! }
type ProductVariantConnection {
  edges: [ProductVariantEdge!]!
  nodes: [ProductVariant!]!
  pageInfo: PageInfo!
}
type ProductVariantEdge { cursor: String! node: ProductVariant! }
type EventConnection { edges: [EventEdge!]! nodes: [Event!]! pageInfo: PageInfo! }
type EventEdge { cursor: String! node: Event! }
type MediaConnection { edges: [MediaEdge!]! nodes: [Media!]! pageInfo: PageInfo! }
type MediaEdge { cursor: String! node: Media! }
"""
