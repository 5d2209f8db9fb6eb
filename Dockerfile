# For a bare Linux machine: docs/troubleshooting.md, section "Docker".
FROM python:3.11-slim
RUN apt-get update && apt-get install --yes --no-install-recommends git make
WORKDIR /kblampp
COPY . .
# DVC's experiments need a git repository with a commit, and git somebody who makes it.
RUN git config --global user.name kblampp && git config --global user.email kblampp@localhost \
 && (git rev-parse --quiet --verify HEAD || (rm -rf .git && git init && git add --all && git commit --quiet --message start))
RUN make env
CMD ["make", "help"]
