import AuditClient
import AuditSchema
import Testing

struct ReadPagesTests {
  @Test("a read begins with a small page, and then takes pages of half a megabyte")
  func pageSizes() {
    var pages = ReadPages(ReadRequest(start: .earliest), end: 1_000_000)
    #expect(pages.next() == ReadRequest(start: .earliest, limit: 32))
    pages.ended(next: 32, records: 32, bytes: 32 * 1024)
    #expect(pages.next() == ReadRequest(start: .sequence(32), limit: 512))
    pages.ended(next: 544, records: 512, bytes: 512 * 1024 * 1024)
    #expect(pages.next() == ReadRequest(start: .sequence(544), limit: 1))
    pages.ended(next: 545, records: 1, bytes: 10)
    #expect(pages.next() == ReadRequest(start: .sequence(545), limit: 16))
  }

  @Test("a read ends at its limit, at the end that the log had when it began, and where the server has no more")
  func ends() {
    var limited = ReadPages(ReadRequest(start: .earliest, limit: 40), end: 100)
    #expect(limited.next()?.limit == 32)
    limited.ended(next: 32, records: 32, bytes: 3200)
    #expect(limited.next()?.limit == 8)
    limited.ended(next: 40, records: 8, bytes: 800)
    #expect(limited.next() == nil)

    var grown = ReadPages(ReadRequest(start: .earliest), end: 30)
    #expect(grown.next()?.limit == 32)
    #expect(grown.contains(29))
    #expect(!grown.contains(30))
    grown.ended(next: 32, records: 32, bytes: 3200)
    #expect(grown.next() == nil)

    var backwards = ReadPages(ReadRequest(start: .latest, backwards: true), end: nil)
    #expect(backwards.next()?.limit == 32)
    backwards.ended(next: 10, records: 32, bytes: 3200)
    #expect(backwards.next() == ReadRequest(start: .sequence(10), limit: 512, backwards: true))
    backwards.ended(next: 0, records: 10, bytes: 1000)
    #expect(backwards.next() == nil)

    var none = ReadPages(ReadRequest(start: .earliest, limit: 0), end: nil)
    #expect(none.next() == nil)
  }
}
