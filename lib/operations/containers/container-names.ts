/** First words of generated container names. */
export const ADJECTIVES =
  'able amber bold brave brisk calm clear clever cosy crisp dapper deft eager early fair fleet fond gentle glad golden keen kind lively lucid mellow merry mild neat nimble noble patient placid plain proud quick quiet ready serene sharp sleek smart snug solid spry steady sunny swift tidy vivid warm wise witty'.split(
    ' ',
  );

/** Second words. */
export const NOUNS =
  'acorn anchor apple aspen badger barley beacon birch brook cedar clover comet coral crane cricket delta ember falcon fern finch fjord glade harbor hazel heron iris juniper kestrel lagoon lark linden maple marten meadow merlin moss oak olive orchid otter pebble pine plover poppy raven reed river robin rowan sage spruce swan tern thistle tulip walnut willow wren'.split(
    ' ',
  );
