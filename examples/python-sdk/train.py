"""Minimizes a small function by gradient descent and reports its loss through NNI's SDK."""

import nni


def main():
    parameters = nni.get_next_parameter()
    position, velocity = 4.0, 0.0
    loss = position**2
    for _ in range(10):
        velocity = parameters["momentum"] * velocity - parameters["learning_rate"] * 2 * position
        position += velocity
        loss = position**2
        nni.report_intermediate_result(loss)
    nni.report_final_result(loss)


if __name__ == "__main__":
    main()
