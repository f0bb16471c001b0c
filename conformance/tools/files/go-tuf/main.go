// What go-tuf makes of repositories: of folders of cases, or of one that is served.
//
//	go-tuf cases FOLDER         each FOLDER/<case>/root.json with the folders 0, 1, ... of files: one update for each
//	go-tuf one ROOT URL PATH    one update from a server, and the download of what the path means
//	go-tuf cosign ROOT URL PATH what cosign's two clients do to begin with a mirror: the one of sigstore-go, and the older one
//
// It prints a line for each update: "named SHA256", "unnamed" or "refused REASON".
package main

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/sigstore/sigstore-go/pkg/tuf"
	legacy "github.com/sigstore/sigstore/pkg/tuf"
	"github.com/theupdateframework/go-tuf/v2/metadata"
	"github.com/theupdateframework/go-tuf/v2/metadata/config"
	"github.com/theupdateframework/go-tuf/v2/metadata/updater"
)

// folder brings the files of a folder, by the last part of their address.
type folder string

func (from folder) DownloadFile(url string, most int64, _ time.Duration) ([]byte, error) {
	bytes, err := os.ReadFile(filepath.Join(string(from), url[strings.LastIndex(url, "/")+1:]))
	if err != nil {
		return nil, &metadata.ErrDownloadHTTP{StatusCode: http.StatusNotFound, URL: url}
	}
	if int64(len(bytes)) > most {
		return nil, &metadata.ErrDownloadLengthMismatch{Msg: "longer than " + strconv.FormatInt(most, 10)}
	}
	return bytes, nil
}

// server brings files without credentials.
type server struct{}

func (server) DownloadFile(url string, most int64, wait time.Duration) ([]byte, error) {
	client := http.Client{Timeout: 30 * time.Second}
	answer, err := client.Get(url)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return nil, &metadata.ErrDownloadHTTP{StatusCode: answer.StatusCode, URL: url}
	}
	return io.ReadAll(io.LimitReader(answer.Body, most))
}

type fetcher interface {
	DownloadFile(url string, most int64, wait time.Duration) ([]byte, error)
}

// update asks what a path means, and downloads that where it is served below targets/.
func update(root []byte, url, memory, path string, from fetcher, served bool) (said string) {
	// It panics at some broken files, which its caller would have to catch as well.
	defer func() {
		if why := recover(); why != nil {
			said = fmt.Sprintf("refused by a panic: %v", why)
		}
	}()
	refused := func(err error) string { return "refused " + strings.Join(strings.Fields(err.Error()), " ") }
	settings, err := config.New(url, root)
	if err != nil {
		return refused(err)
	}
	settings.LocalMetadataDir, settings.LocalTargetsDir, settings.Fetcher = memory, memory, from
	client, err := updater.New(settings)
	if err != nil {
		return refused(err)
	}
	if err := client.Refresh(); err != nil {
		return refused(err)
	}
	found, err := client.GetTargetInfo(path)
	if err != nil {
		if strings.Contains(err.Error(), "not found") {
			return "unnamed"
		}
		return refused(err)
	}
	if served {
		if _, _, err := client.DownloadTarget(found, filepath.Join(memory, "target"), url+"/targets/"); err != nil {
			return refused(err)
		}
	}
	return "named " + found.Hashes["sha256"].String()
}

// sum says which bytes a client brought.
func sum(bytes []byte, err error) string {
	if err != nil {
		return "refused " + strings.Join(strings.Fields(err.Error()), " ")
	}
	return fmt.Sprintf("named %x", sha256.Sum256(bytes))
}

// newer is what cosign asks first: sigstore-go, for its trusted root.
func newer(root []byte, url, memory, path string) ([]byte, error) {
	options := tuf.DefaultOptions()
	options.Root, options.RepositoryBaseURL, options.CachePath = root, url, memory
	client, err := tuf.New(options)
	if err != nil {
		return nil, err
	}
	return client.GetTarget(path)
}

// older is what cosign falls back to: it brings every target at once, and tells the state of the root.
func older(root []byte, url, memory, path string) ([]byte, error) {
	if err := os.Setenv("TUF_ROOT", memory); err != nil {
		return nil, err
	}
	ctx := context.Background()
	if err := legacy.Initialize(ctx, url, root); err != nil {
		return nil, err
	}
	if _, err := legacy.GetRootStatus(ctx); err != nil {
		return nil, err
	}
	client, err := legacy.NewFromEnv(ctx)
	if err != nil {
		return nil, err
	}
	return client.GetTarget(path)
}

func must[T any](value T, err error) T {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	return value
}

func main() {
	if os.Args[1] == "one" {
		memory := must(os.MkdirTemp("", "go-tuf"))
		defer os.RemoveAll(memory)
		fmt.Println(update(must(os.ReadFile(os.Args[2])), os.Args[3], memory, os.Args[4], server{}, true))
		return
	}
	if os.Args[1] == "cosign" {
		root := must(os.ReadFile(os.Args[2]))
		for _, client := range []func([]byte, string, string, string) ([]byte, error){newer, older} {
			memory := must(os.MkdirTemp("", "go-tuf"))
			fmt.Println(sum(client(root, os.Args[3], memory, os.Args[4])))
			os.RemoveAll(memory)
		}
		return
	}
	cases := must(os.ReadDir(os.Args[2]))
	sort.Slice(cases, func(one, other int) bool {
		return must(strconv.Atoi(cases[one].Name())) < must(strconv.Atoi(cases[other].Name()))
	})
	for _, name := range cases {
		home := filepath.Join(os.Args[2], name.Name())
		root, path := must(os.ReadFile(filepath.Join(home, "root.json"))), string(must(os.ReadFile(filepath.Join(home, "path"))))
		memory := must(os.MkdirTemp("", "go-tuf"))
		for _, step := range must(os.ReadDir(home)) {
			if step.IsDir() {
				files := folder(filepath.Join(home, step.Name()))
				fmt.Println(name.Name(), step.Name(), update(root, "http://cases.invalid/", memory, path, files, false))
			}
		}
		os.RemoveAll(memory)
	}
}
