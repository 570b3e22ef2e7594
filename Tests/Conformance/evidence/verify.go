// Verifies a tiled log with golang.org/x/mod/sumdb, which shares no code with hubaudit: the checkpoint's signature, the root, random
// inclusion and consistency proofs, and that entry bundles hash to the tiles' leaves; further, where they are given, older checkpoints of
// the log, and proofs that the server itself has made. Prints one line; exits 1 at the first thing wrong.
//
//	GO111MODULE=off GOPATH=/usr/share/gocode go run verify.go claims.go -vkey VKEY -log DIRECTORY-OR-URL [-proofs 20] [-bundles 8] [-seed N]
//	    [-old CHECKPOINT-FILE]... [-claims JSON-FILE]
package main

import (
	"encoding/base64"
	"encoding/binary"
	"flag"
	"fmt"
	"io"
	"math/rand"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

func main() {
	location := flag.String("log", "", "directory or URL that has checkpoint and tile/")
	vkey := flag.String("vkey", "", "the log's verifier key")
	proofs := flag.Int("proofs", 20, "inclusion and consistency proofs to check")
	bundles := flag.Int("bundles", 8, "entry bundles to check besides the last one; -1 for all")
	seed := flag.Int64("seed", time.Now().UnixNano(), "seed of the random choices")
	var old files
	flag.Var(&old, "old", "file with an older checkpoint of the log; may be repeated")
	claims := flag.String("claims", "", "file with proofs of the server")
	flag.Parse()
	from := log(*location)
	size, err := verify(from, *vkey, *proofs, *bundles, rand.New(rand.NewSource(*seed)))
	if err == nil {
		err = verifyOlder(from, *vkey, old)
	}
	if err == nil && *claims != "" {
		err = verifyClaims(*claims)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v (seed %d)\n", *location, err, *seed)
		os.Exit(1)
	}
	fmt.Printf("%s: %d leaves verified (seed %d)\n", *location, size, *seed)
}

func verify(from log, vkey string, proofs, bundles int, random *rand.Rand) (int64, error) {
	tree, err := checkpoint(from, vkey)
	if err != nil || tree.N == 0 {
		return 0, err
	}
	// This reader checks every tile against the tree's root before it hands out a hash.
	reader := tlog.TileHashReader(tree, &tiles{from: from})

	for k := 0; k < proofs; k++ {
		index := random.Int63n(tree.N)
		if k == 0 {
			index = tree.N - 1
		}
		leaf, err := reader.ReadHashes([]int64{tlog.StoredHashIndex(0, index)})
		if err != nil {
			return 0, err
		}
		record, err := tlog.ProveRecord(tree.N, index, reader)
		if err != nil {
			return 0, err
		}
		if err := tlog.CheckRecord(record, tree.N, tree.Hash, index, leaf[0]); err != nil {
			return 0, fmt.Errorf("inclusion of %d: %w", index, err)
		}
		old := random.Int63n(tree.N) + 1
		oldRoot, err := tlog.TreeHash(old, reader)
		if err != nil {
			return 0, err
		}
		consistency, err := tlog.ProveTree(tree.N, old, reader)
		if err != nil {
			return 0, err
		}
		if err := tlog.CheckTree(consistency, tree.N, tree.Hash, old, oldRoot); err != nil {
			return 0, fmt.Errorf("consistency from %d: %w", old, err)
		}
	}

	count := (tree.N + 255) / 256
	for k := int64(0); k < count; k++ {
		n := k
		if bundles >= 0 {
			if k > int64(bundles) {
				break
			}
			if n = random.Int63n(count); k == 0 {
				n = count - 1
			}
		}
		if err := bundle(from, reader, n, tree.N); err != nil {
			return 0, fmt.Errorf("bundle %d: %w", n, err)
		}
	}
	return tree.N, nil
}

func checkpoint(from log, vkey string) (tlog.Tree, error) {
	data, err := from.read("checkpoint")
	if err != nil {
		return tlog.Tree{}, err
	}
	return openCheckpoint(data, vkey)
}

func openCheckpoint(data []byte, vkey string) (tlog.Tree, error) {
	verifier, err := note.NewVerifier(vkey)
	if err != nil {
		return tlog.Tree{}, err
	}
	signed, err := note.Open(data, note.VerifierList(verifier))
	if err != nil {
		return tlog.Tree{}, fmt.Errorf("checkpoint: %w", err)
	}
	lines := strings.Split(signed.Text, "\n")
	if len(lines) < 4 || lines[0] != verifier.Name() {
		return tlog.Tree{}, fmt.Errorf("checkpoint: %q is not one of %s", signed.Text, verifier.Name())
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil {
		return tlog.Tree{}, err
	}
	hash, err := base64.StdEncoding.DecodeString(lines[2])
	if err != nil || len(hash) != tlog.HashSize {
		return tlog.Tree{}, fmt.Errorf("checkpoint: root %q", lines[2])
	}
	if size == 0 && lines[2] != "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=" {
		return tlog.Tree{}, fmt.Errorf("checkpoint: size 0 with root %s", lines[2])
	}
	tree := tlog.Tree{N: size}
	copy(tree.Hash[:], hash)
	return tree, nil
}

// Checks that the entries of bundle n hash to leaves of the tree.
func bundle(from log, reader tlog.HashReader, n, size int64) error {
	width := size - n*256
	if width > 256 {
		width = 256
	}
	data, err := from.read(path("entries", n, int(width)))
	if err != nil {
		return err
	}
	indexes := make([]int64, width)
	for i := range indexes {
		indexes[i] = tlog.StoredHashIndex(0, n*256+int64(i))
	}
	leaves, err := reader.ReadHashes(indexes)
	if err != nil {
		return err
	}
	for i, leaf := range leaves {
		if len(data) < 2 || len(data)-2 < int(binary.BigEndian.Uint16(data)) {
			return fmt.Errorf("ends within entry %d", i)
		}
		end := 2 + int(binary.BigEndian.Uint16(data))
		if tlog.RecordHash(data[2:end]) != leaf {
			return fmt.Errorf("entry %d is not the tree's leaf", i)
		}
		data = data[end:]
	}
	if len(data) > 0 {
		return fmt.Errorf("%d bytes too many", len(data))
	}
	return nil
}

// Reads tiles for tlog, whose own paths begin with the tile's height.
type tiles struct {
	from log
	// Whether partial tiles have to be there still.
	strict bool
}

func (t *tiles) Height() int { return 8 }

func (t *tiles) ReadTiles(wanted []tlog.Tile) ([][]byte, error) {
	var found [][]byte
	for _, tile := range wanted {
		data, err := t.from.read(path(strconv.Itoa(tile.L), tile.N, tile.W))
		if err != nil && tile.W < 256 && !t.strict {
			// A partial tile may be gone once the full one is there.
			if data, err = t.from.read(path(strconv.Itoa(tile.L), tile.N, 256)); err == nil && len(data) == 256*tlog.HashSize {
				data = data[:tile.W*tlog.HashSize]
			}
		}
		if err != nil {
			return nil, err
		}
		if len(data) != tile.W*tlog.HashSize {
			return nil, fmt.Errorf("tile %v: %d bytes", tile, len(data))
		}
		found = append(found, data)
	}
	return found, nil
}

func (t *tiles) SaveTiles([]tlog.Tile, [][]byte) {}

func path(level string, n int64, width int) string {
	groups := fmt.Sprintf("%03d", n%1000)
	for n /= 1000; n > 0; n /= 1000 {
		groups = fmt.Sprintf("x%03d/", n%1000) + groups
	}
	if width < 256 {
		groups += fmt.Sprintf(".p/%d", width)
	}
	return "tile/" + level + "/" + groups
}

// A directory or a URL.
type log string

func (l log) read(path string) ([]byte, error) {
	if !strings.Contains(string(l), "://") {
		return os.ReadFile(filepath.Join(string(l), path))
	}
	client := http.Client{Timeout: 30 * time.Second}
	reply, err := client.Get(strings.TrimSuffix(string(l), "/") + "/" + path)
	if err != nil {
		return nil, err
	}
	defer reply.Body.Close()
	if reply.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", path, reply.Status)
	}
	return io.ReadAll(reply.Body)
}
